"""Files and folders of an output that others than the trainer read by their names. `finetune_trainer.storage.layout` has all of them."""

from typing import Final

HISTORY: Final = "history.jsonl"
"""One line for each log, evaluation and adjustment."""
TRACKING: Final = "tracking.json"
"""By which trackers know the run."""
MODEL: Final = "model"
"""The exported model."""
MANIFEST: Final = "manifest.json"
"""Of a checkpoint: the SHA-256 of each of its files. Written last and deleted first, so that all other files are there while it is."""
RUNS: Final = "runs"
"""The outputs of a job's runs after the first, a folder each."""
