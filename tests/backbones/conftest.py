# Tests that build timm models themselves import timm, and with it torchvision, before the package does.
from pipeline_lib.base import torchvision_import as torchvision_import
