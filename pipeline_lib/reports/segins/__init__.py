"""The SegIns chain for its readers: tables beside the published values, pictures, and comparisons over seeds."""
