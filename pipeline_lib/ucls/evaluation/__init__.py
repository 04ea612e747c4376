"""Matching of clusters with classes, clustering metrics, cluster use, label-free figures and the k-means baseline."""
