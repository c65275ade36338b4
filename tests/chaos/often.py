"""Run the operator so that it looks at its certificate twice a second and not once an hour: `python often.py`."""

import runpy

from finetune_operator.reports import certificates

certificates._CHECK_SECONDS = 0.5
runpy.run_module("finetune_operator", run_name="__main__")
