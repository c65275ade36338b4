"""The progress bar on stderr."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TextIO

from tqdm import tqdm


class ProgressBar:
    """Steps done of all steps: a moving bar on a terminal, a line now and then in a log file."""

    def __init__(self, total_steps: int, step: int, log: Callable[[str], None]) -> None:
        """`log` is called with the lines."""
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total_steps,
            initial=step,
            unit="step",
            file=sys.stderr if terminal else _Lines(sys.stderr, log),
            dynamic_ncols=True,
            mininterval=0.2 if terminal else 10.0,
        )

    def to(self, step: int) -> None:
        self._bar.update(step - self._bar.n)

    def show(self, values: Mapping[str, float]) -> None:
        self._bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()}, refresh=False)

    def close(self) -> None:
        self._bar.close()


class _Lines:
    """A stream for tqdm with a line for each state of the bar, where tqdm itself overwrites the one before.

    Nobody may read it any more, as when a notebook's kernel or a `tee` has ended: the run goes on, or saves, without.
    """

    def __init__(self, stream: TextIO, log: Callable[[str], None]) -> None:
        self._stream = stream
        self._log = log

    def write(self, text: str) -> None:
        if line := text.strip():
            with suppress(OSError):
                self._stream.write(line + "\n")
            self._log(line)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()
