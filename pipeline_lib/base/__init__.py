"""What everything else stands on: errors, settings, rows, pairs, processes, YAML."""
