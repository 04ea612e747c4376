"""What detectron2 needs to fine-tune a checkpoint: its weights, its configuration, and a start of its trainer."""
