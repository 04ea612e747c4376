"""Image sources behind one interface, decoding, and the preparation of the dataset artifact."""
