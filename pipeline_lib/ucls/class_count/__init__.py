"""The number of classes, chosen without labels: candidate partitions of a neighbour graph, and how well they fit it."""
