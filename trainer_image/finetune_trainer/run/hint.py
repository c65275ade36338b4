"""The hint for the next attempt: the batch plan that one of several processes leaves in the output, which ran out of memory."""

import json

from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.storage.layout import HINT
from finetune_trainer.storage.output import Output


def write_hint(output: Output, batch: BatchPlan) -> None:
    """Write the batch plan that the next attempt begins with. Any process can, and several that write the same."""
    output.write_marker(HINT, json.dumps(batch.to_numbers()).encode())


def read_hint(output: Output) -> BatchPlan | None:
    """Return the hint of an attempt before, if there is one."""
    content = output.read_marker(HINT)
    return BatchPlan.from_numbers(json.loads(content)) if content else None


def clear_hint(output: Output) -> None:
    """Remove the hint: the history has it, and is sent before this is gone."""
    output.send_history()
    output.remove_marker(HINT)
