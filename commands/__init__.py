"""What a person starts that is no stage of dvc.yaml."""
