"""The trainer: reads one `run.yaml`, trains, and reports its progress. `python -m finetune_trainer --config run.yaml`."""
