"""Run the operator under a clock that is SKEW_SECONDS ahead of the machine's: `python skewed.py`. Only the clock that tells the date is."""

import datetime
import os
import runpy
import time
from typing import Any

SKEW = float(os.environ["SKEW_SECONDS"])
_real_time, _real_datetime = time.time, datetime.datetime


class _Any(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real_datetime)


class _Skewed(_real_datetime, metaclass=_Any):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _real_datetime.now(tz) + datetime.timedelta(seconds=SKEW)


time.time = lambda: _real_time() + SKEW
datetime.datetime = _Skewed  # type: ignore[misc]
runpy.run_module("finetune_operator", run_name="__main__")
