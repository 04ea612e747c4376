"""Pages and pictures for readers."""
