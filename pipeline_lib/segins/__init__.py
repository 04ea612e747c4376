"""SegIns: pretraining of CNNs that know where objects are (thesis chapters 3 and 4)."""
