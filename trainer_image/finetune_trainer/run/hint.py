"""What one of several processes leaves for the next attempt when its GPU has not enough memory.

Alone, a process goes on by itself with smaller batches. One of several cannot: the others are within the step, and wait
for it in vain. So it says in the output what shall be tried, and ends.
"""

import json

from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.storage.layout import HINT
from finetune_trainer.storage.output import Output


def leave(output: Output, batch: BatchPlan) -> None:
    """Have the next attempt begin with `batch`. Any process can, and several that leave the same."""
    output.write_marker(HINT, json.dumps(batch.to_numbers()).encode())


def left(output: Output) -> BatchPlan | None:
    """What an attempt before has left, if any."""
    content = output.read_marker(HINT)
    return BatchPlan.from_numbers(json.loads(content)) if content else None


def clear(output: Output) -> None:
    """Take away what was left: it stands in the history, which is at the place before this is gone."""
    output.send_history()
    output.remove_marker(HINT)
