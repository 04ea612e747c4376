"""Named sets of experiments: what they vary, what their tables show, and the thesis' values beside."""
