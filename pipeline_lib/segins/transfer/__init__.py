"""What a pretrained ResNet is worth: linear evaluation, detection, segmentation (thesis 4.3)."""
