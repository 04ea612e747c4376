"""FAISS search, the adaptive rule and neighbour quality."""
