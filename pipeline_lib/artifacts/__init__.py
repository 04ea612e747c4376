"""Every hand-over between stages, one module each: written atomically, checked when read."""
