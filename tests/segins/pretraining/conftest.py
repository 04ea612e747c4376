# The tests compare with torchvision, which is imported before any module of the project that does.
from pipeline_lib.base import torchvision_import as torchvision_import
