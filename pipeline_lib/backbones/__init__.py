"""Frozen backbones: timm models by name, where their weights come from, and which features are taken."""

# Every module here imports timm, and timm imports torchvision.
from pipeline_lib.base import torchvision_import as torchvision_import
