"""A manifest, and what an API server says of its job."""

from typing import Any

MANIFEST = """\
apiVersion: finetune.dev/v1alpha1
kind: FineTuneJob
metadata: {name: job}
spec:
  task: text-classification
  runToken: 2026-11-28
  model: {source: org/model}
  dataset: {source: org/data, train: {split: train}}
  training: {learningRate: 5e-5}
"""
FAILURE = {"reason": "ColumnNotFound", "message": "no column 'tag'", "hint": "Name 'tags'."}
HOSTILE = "\x1b[31m[red]evil[/red]\u202e \x07[link=http://x]"


def since(*events: Any) -> Any:
    """A watch that brings these events."""
    return lambda _: iter([{"type": "MODIFIED", "object": each} for each in events])
