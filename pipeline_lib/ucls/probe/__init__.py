"""The linear classifier grid for self-training, linear probing and linear evaluation."""
