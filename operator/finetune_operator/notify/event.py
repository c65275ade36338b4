"""What a receiver is told: a CloudEvent in JSON (https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md), or a
line for a channel of Slack (https://docs.slack.dev/messaging/formatting-message-text)."""

from datetime import timedelta
from typing import Final

from finetune_api.base import JsonObject
from finetune_api.status import FineTuneJobStatus
from finetune_api.v1alpha1 import API_VERSION, KIND, PLURAL
from finetune_api.values import format_time
from finetune_operator.job.finetunejob import FineTuneJob

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
_TYPE: Final = "dev.finetune.finetunejob"
_OF_THE_STATUS: Final = (
    "phase",
    "message",
    "startTime",
    "completionTime",
    "progress",
    "metrics",
    "bestCheckpoint",
    "model",
    "usage",
)
"""Fields of the status that an event has; none of them is long."""
_OF_A_FAILURE: Final = ("reason", "message", "hint", "exitCode")
_SHOWN_METRICS: Final = 4
_OF_THE_OPTIMIZER: Final = ("learning_rate", "grad_norm")
"""They tell nobody how well it went."""
_LONGEST_QUOTE: Final = 780


def event_id(finetunejob: FineTuneJob) -> str:
    """The id of the end of this run: the same for each attempt and for each receiver, and of no other event."""
    return f"{finetunejob.uid}-{finetunejob.run.number}-{str(finetunejob.status.phase).lower()}"


def cloud_event(finetunejob: FineTuneJob) -> JsonObject:
    """The event, with the part of the status that says how the run ended."""
    status = finetunejob.status.to_wire()
    data = {name: status[name] for name in _OF_THE_STATUS if status.get(name)}
    failure = {name: each for name, each in status.get("failure", {}).items() if name in _OF_A_FAILURE}
    job = {"apiVersion": API_VERSION, "kind": KIND, "namespace": finetunejob.namespace, "name": finetunejob.name}
    run = finetunejob.run.to_wire()
    ended = finetunejob.status.completion_time
    return {
        "specversion": "1.0",
        "id": event_id(finetunejob),
        "source": f"/apis/{API_VERSION}/namespaces/{finetunejob.namespace}/{PLURAL}",
        "subject": finetunejob.name,
        "type": f"{_TYPE}.{str(finetunejob.status.phase).lower()}",
        **({"time": format_time(ended)} if ended else {}),
        "datacontenttype": "application/json",
        "data": {
            "job": {**job, "uid": finetunejob.uid},
            "run": {name: run[name] for name in ("number", "token", "output") if name in run},
            **data,
            **({"failure": failure} if failure else {}),
        },
    }


def slack_message(finetunejob: FineTuneJob) -> JsonObject:
    """One line on how the run ended. What others wrote stands as code, in which neither Slack nor Mattermost knows mentions, links or pictures."""
    status, name = finetunejob.status, _quoted(f"{finetunejob.namespace}/{finetunejob.name}")
    took = None
    if status.start_time is not None and status.completion_time is not None:
        took = f"after {_duration(status.completion_time - status.start_time)}"
    if status.failure is not None:
        failure = status.failure
        parts = [f"{name} failed: {_quoted(failure.reason)}", took, _quoted(failure.message), _quoted(failure.hint)]
    else:
        model = f"model at {_quoted(status.model.uri)}" if status.model else None
        parts = [f"{name} succeeded", took, _quoted(_scores(status)), model]
    return {"text": " · ".join(each for each in parts if each)}


def _scores(status: FineTuneJobStatus) -> str:
    """How well the model does: the loss, the metric that chose the best checkpoint, and the first of the others."""
    best = status.best_checkpoint.metric if status.best_checkpoint else None
    told = [each for each in status.metrics if each.name not in _OF_THE_OPTIMIZER]
    told.sort(key=lambda metric: (metric.name != "loss", metric.name != best))
    return ", ".join(f"{each.name} {each.value}" for each in told[:_SHOWN_METRICS])


def _quoted(text: str | None) -> str:
    """Text as code of Markdown, cut where it is long: an end that is cut off would end the code, too."""
    if not text:
        return ""
    escaped = text.replace("`", "'").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"`{escaped if len(escaped) <= _LONGEST_QUOTE else f'{escaped[:_LONGEST_QUOTE]}…'}`"


def _duration(length: timedelta) -> str:
    minutes, seconds = divmod(max(0, int(length.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
