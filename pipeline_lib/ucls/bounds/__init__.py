"""What UCLS is compared with on the same features: TURTLE without labels, k-NN classification with them."""
