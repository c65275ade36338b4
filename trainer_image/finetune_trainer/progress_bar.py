"""The bar that people see on stderr."""

import sys
from collections.abc import Mapping

from tqdm import tqdm


class ProgressBar:
    """Steps done of all steps. A log file gets a line now and then, a terminal a moving bar."""

    def __init__(self, total_steps: int, step: int) -> None:
        interval = 0.2 if sys.stderr.isatty() else 10.0
        self._bar = tqdm(
            total=total_steps, initial=step, unit="step", file=sys.stderr, dynamic_ncols=True, mininterval=interval
        )

    def to(self, step: int) -> None:
        self._bar.update(step - self._bar.n)

    def show(self, values: Mapping[str, float]) -> None:
        self._bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()}, refresh=False)

    def close(self) -> None:
        self._bar.close()
