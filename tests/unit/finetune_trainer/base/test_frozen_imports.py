"""In a process of its own: what this one has frozen, other tests want to stay so."""

import subprocess
import sys

PROGRAM = """
import gc
from finetune_trainer.base.frozen_imports import frozen_imports

with frozen_imports():
    seen = [gc.isenabled()]
    imported = [[] for _ in range(1000)]
frozen = gc.get_freeze_count()
seen += [gc.isenabled(), frozen >= 1000]
try:
    with frozen_imports():
        garbage = [[] for _ in range(1000)]
        raise ImportError
except ImportError:
    seen += [gc.isenabled(), gc.get_freeze_count() <= frozen]
print(seen)
"""


def test_what_is_imported_is_looked_at_neither_meanwhile_nor_later_and_the_rest_is() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)

    disabled, enabled, kept, enabled_again, not_frozen = False, True, True, True, True
    assert ended.stdout == f"{[disabled, enabled, kept, enabled_again, not_frozen]}\n", ended.stderr
