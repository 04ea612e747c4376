"""Frozen backbones: timm models by name, where their weights come from, and which features are taken."""
