"""The multi-head classifier, its losses, Sinkhorn-Knopp and its training loop."""
