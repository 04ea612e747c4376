"""Matching of clusters with classes, clustering metrics, cluster use, label-free measures and the k-means baseline."""
