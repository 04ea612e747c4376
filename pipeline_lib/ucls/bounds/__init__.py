"""What UCLS is compared with on the same features: rivals without labels, k-NN classification with them."""
