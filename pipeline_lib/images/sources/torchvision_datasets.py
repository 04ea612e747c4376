"""torchvision's data sets, imported so that a torchvision without its compiled operators does too."""

import pipeline_lib.base.torchvision_import  # noqa: F401

# isort: split
from torchvision import datasets

__all__ = ["datasets"]
