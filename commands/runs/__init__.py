"""Runs of many stages by one command: the graph of dvc.yaml, runs in folders of their own, experiment sets."""
