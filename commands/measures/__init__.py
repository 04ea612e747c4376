"""Measures of experiments that no stage of dvc.yaml writes."""
