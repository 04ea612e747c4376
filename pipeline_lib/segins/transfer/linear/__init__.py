"""Linear evaluation and k-NN classification on frozen features (MoCo's protocol, thesis 4.3.1)."""
