"""ResNets in torchvision's names: building them, their stages, and files of others that hold one."""
