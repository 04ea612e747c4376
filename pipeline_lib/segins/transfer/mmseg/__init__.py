"""What mmsegmentation needs to train a linear segmenter: weights, configuration, data, and a start of its trainer."""
