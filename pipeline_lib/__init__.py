"""Unsupervised image classification (UCLS) and localisation-aware pretraining (SegIns)."""
