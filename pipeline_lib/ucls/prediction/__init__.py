"""Use of a trained classifier on new images: predictions, ONNX files and names of clusters."""
