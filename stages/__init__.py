"""Stage scripts: parameters in, one or two library calls, artifacts and metrics out."""
