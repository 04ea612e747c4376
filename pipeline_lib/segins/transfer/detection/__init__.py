"""Faster and Mask R-CNN with a C4 backbone: model, training, inference and metrics (thesis 4.3.2, 4.3.4)."""
