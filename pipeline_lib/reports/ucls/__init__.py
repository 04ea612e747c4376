"""Pictures and measures of a run."""
