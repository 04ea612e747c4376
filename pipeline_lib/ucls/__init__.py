"""UCLS: unlabelled images into classes (thesis chapters 5 and 6)."""
