"""What one of several processes leaves for the next attempt when its GPU has not enough memory.

Alone, a process goes on by itself with smaller batches. One of several cannot: the others are within the step, and wait
for it in vain. So it says in the output what shall be tried, and ends.
"""

import json

from finetune_trainer.base.files import write_atomically
from finetune_trainer.settings.batch_plan import Fit
from finetune_trainer.storage.disk_errors import output_failures
from finetune_trainer.storage.layout import HINT
from finetune_trainer.storage.output import Output


def leave(output: Output, fit: Fit) -> None:
    """Have the next attempt begin with `fit`. Any process can, and several that leave the same."""
    content = json.dumps(fit.to_numbers()).encode()
    if output.mirror:
        output.mirror.write_mark(HINT, content)
        return
    with output_failures(output.path):
        write_atomically(output.path / HINT, content)


def left(output: Output) -> Fit | None:
    """What an attempt before has left, if any."""
    if output.mirror:
        content = output.mirror.read_mark(HINT)
    else:
        path = output.path / HINT
        content = path.read_bytes() if path.exists() else None
    return Fit.from_numbers(json.loads(content)) if content else None


def clear(output: Output) -> None:
    """Take away what was left: it stands in the history, which is at the place before this is gone."""
    if output.mirror:
        output.mirror.send_history()
        output.mirror.remove_mark(HINT)
    else:
        (output.path / HINT).unlink(missing_ok=True)
