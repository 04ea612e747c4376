"""The SegIns chain for its readers: tables beside the thesis' figures, pictures, and comparisons over seeds."""
