"""run.yaml, and what follows from it and from the device: TrainingArguments and the batch plan."""
