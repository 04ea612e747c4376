"""params.yaml as typed settings: sections, facts, complaints, presets, overrides."""
