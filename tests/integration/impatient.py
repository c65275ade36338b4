"""Run the operator so that it looks at what keeps a job from going after 1 to 2 seconds and not 15 to 30: `python impatient.py`."""

import runpy
import sys
from importlib import import_module

sys.modules["kubernetes_validate"] = None  # type: ignore[assignment] # as the operator itself does
blocked = import_module("finetune_operator.controller.blocked")
blocked.SHORTEST_SECONDS = 1.0
runpy.run_module("finetune_operator", run_name="__main__")
