"""Self-supervised pretraining of a ResNet: SimSiam, MoCo-V2, and SegIns on top of either (thesis chapter 3)."""
