"""The trackers of one run: begun once its output is its own, and finished when the attempt ends."""

import json
import logging
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self

from finetune_api.base import JsonObject
from finetune_api.run import RunConfig
from finetune_api.status import Provenance, TrackedRun
from finetune_api.tracking import Tracking as Settings
from finetune_api.tracking import servers_of
from finetune_api.v1alpha1 import RunSettings
from finetune_trainer.base.errors import Stopped
from finetune_trainer.base.redaction import redact
from finetune_trainer.progress.history import History
from finetune_trainer.progress.state import RunState
from finetune_trainer.storage.layout import TRACKING
from finetune_trainer.storage.output import Output
from finetune_trainer.tracking.feed import Feed
from finetune_trainer.tracking.registry import make_trackers, named
from finetune_trainer.tracking.tracker import Description, Outcome

logger = logging.getLogger(__name__)

LAST_SECONDS: Final[dict[Outcome, float]] = {"finished": 30.0, "failed": 10.0, "stopped": 10.0}
"""For so long the end of an attempt waits for points that have not arrived."""
_ID: Final = re.compile("[0-9a-f]{16}")
"""It becomes part of a query and of a file's name."""


class Tracking:
    """All trackers of a run. Of several processes only the main one has any."""

    def __init__(self, config: RunConfig, output: Output, history: History, state: RunState) -> None:
        self._config = config
        self._output = output
        self._history = history
        self._state = state
        self._feeds: list[Feed] = []

    def begin(self) -> None:
        """Begin to send. The output is this run's by now."""
        if self._config.tracking is None or self._feeds:
            return
        try:
            run = describe(self._config, run_id_of(self._output), self._state.current.provenance)
            trackers = make_trackers(self._config.tracking, self._output, run)
        except Exception as error:  # noqa: BLE001 - a tracker is never worth a run
            self._do_without(self._config.tracking, error)
            return
        self._feeds = [
            Feed(tracker, self._history, self._state.set_tracker, self._rest(tracker.name)) for tracker in trackers
        ]
        for feed in self._feeds:
            feed.start()

    def _rest(self, tracker: str) -> str:
        """What sends points that have not arrived by the end of the run; "" where nothing does."""
        job, servers = self._config.job, servers_of(self._config.tracking)
        if job is None:
            return "the same command"
        return f"finetune track {job.name}" if servers and tracker in named(servers) else ""

    def _do_without(self, settings: Settings, error: Exception) -> None:
        why = redact(" ".join(f"{type(error).__name__}: {error}".split()))[:200]
        message = f"this attempt sends no points: {why}"
        logger.warning("tracking: %s", message)
        for name in named(settings):
            self._state.set_tracker(TrackedRun(tracker=name, message=message))

    def finish(self, outcome: Outcome) -> None:
        """Send the rest to all trackers at the same time. Returns within LAST_SECONDS, whether all arrived or not."""
        threads = [Thread(target=feed.finish, args=(outcome, LAST_SECONDS[outcome])) for feed in self._feeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = kind is not None and issubclass(kind, Stopped)
        self.finish("stopped" if stopped else "finished" if kind is None else "failed")


def describe(config: RunConfig, run_id: str, provenance: Provenance | None) -> Description:
    """Return what trackers are told of a run: its settings, and what it is made of."""
    settings = config.model_dump(mode="json", by_alias=True, exclude_none=True, include=set(RunSettings.model_fields))
    known: JsonObject = provenance.to_wire() if provenance else {}
    job = {"namespace": config.job.namespace, "name": config.job.name, "uid": config.job.uid} if config.job else {}
    tags = {**{f"job.{name}": text for name, text in job.items()}, "output": config.output.uri}
    title = config.job.name if config.job else config.output.uri.rstrip("/").rpartition("/")[2] or config.task
    return Description(
        id=run_id,
        title=title,
        parameters=dict(_flat(redact.tree(settings))),
        tags={f"finetune.{name}": text for name, text in {**tags, **dict(_flat(redact.tree(known)))}.items()},
    )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of a JSON object by their paths, such as training.learningRate."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _flat(member, f"{name}.{key}" if name else key)
    elif name:
        yield name, value if isinstance(value, str) else json.dumps(value)


def run_id_of(output: Output) -> str:
    """Return by what trackers know this run: it lies in the output, and goes with it."""
    marker = output.read_marker(TRACKING)
    if marker is None:
        output.create_marker(TRACKING, json.dumps({"run": secrets.token_hex(8)}).encode())
        marker = output.read_marker(TRACKING) or b"{}"
    with suppress(ValueError):
        found = json.loads(marker)
        if isinstance(found, dict) and _ID.fullmatch(str(found.get("run"))):
            return str(found["run"])
    raise ValueError(f"{TRACKING} at the output does not name the run; delete it to begin another one at the trackers")
