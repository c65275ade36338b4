"""What a run leaves behind: checkpoints and the exported model, complete or absent."""
