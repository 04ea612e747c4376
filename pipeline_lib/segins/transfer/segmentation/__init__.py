"""Semantic segmentation by a linear layer on dilated features (thesis 4.3.3)."""
