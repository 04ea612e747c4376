"""Rows of features, whatever they are of: blocks, moments, components, similarity, votes."""
