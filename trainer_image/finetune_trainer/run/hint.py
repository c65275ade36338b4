"""What one of several processes leaves for the next attempt when its GPU has not enough memory.

Alone, a process goes on by itself with smaller batches. One of several cannot: the others are within the step, and wait
for it in vain. So it says in the output what shall be tried, and ends.
"""

import json

from finetune_trainer.base.errors import output_failures
from finetune_trainer.settings.batch_plan import Fit
from finetune_trainer.storage.output import Output, write_atomically

_FILE = "adjustment.json"


def leave(output: Output, fit: Fit) -> None:
    """Have the next attempt begin with `fit`. Any process can, and several that leave the same."""
    text = json.dumps(fit.to_numbers())
    if output.mirror:
        output.mirror.write_mark(_FILE, text.encode())
        return
    with output_failures(output.path):
        write_atomically(output.path / _FILE, text)


def left(output: Output) -> Fit | None:
    """What an attempt before has left, if any."""
    if output.mirror:
        content = output.mirror.read_mark(_FILE)
    else:
        path = output.path / _FILE
        content = path.read_bytes() if path.exists() else None
    return Fit.from_numbers(json.loads(content)) if content else None


def clear(output: Output) -> None:
    """Take away what was left: it stands in the history, which is at the place before this is gone."""
    if output.mirror:
        output.mirror.send_history()
        output.mirror.remove_mark(_FILE)
    else:
        (output.path / _FILE).unlink(missing_ok=True)
