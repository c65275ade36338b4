"""A report of a training pod: the path it is sent to, its body read without trust, and who sent it when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError
from pydantic_core import from_json

from finetune_api.report import MAX_REPORT_INTERVAL, FinalReport, ReportBody
from finetune_operator.job.finetunejob import Key

REPORT_PATH = "/reports/v1alpha1/namespaces/{namespace}/finetunejobs/{name}"

NEXT_REPORT: Final = timedelta(seconds=MAX_REPORT_INTERVAL + 120)
"""So long a trainer that has reported may be silent: it waits as it is asked to, and longer after failures."""
_MAX_FIELDS_NAMED = 10


@dataclass(frozen=True)
class Received:
    """A report that was checked: a pod of the FineTuneJob `key` sent it, and it is well-formed."""

    key: Key
    pod_name: str
    pod_uid: str
    body: ReportBody
    time: datetime
    """When it came, by our clock."""
    took: float = 0.0
    """Seconds from its request to here: who sent it was found out meanwhile."""
    unbroken_since: datetime | None = None
    """When the first report came of those of this pod that no pause of more than NEXT_REPORT parts from this one. None of a report by itself."""


def report_path(key: Key) -> str:
    """The path that the pods of a FineTuneJob post to."""
    return REPORT_PATH.format(namespace=key.namespace, name=key.name)


class NotAReport(ValueError):
    """The body is no report. `fields` names what is wrong; what the fields hold is not repeated."""

    def __init__(self, message: str, fields: list[dict[str, str]] | None = None) -> None:
        problems = [
            f"{each['field']}: {each['message']}" if each["field"] else each["message"] for each in fields or ()
        ]
        super().__init__("; ".join(problems) or message)
        self.message = message
        self.fields = fields


def parse_body(body: bytes) -> ReportBody:
    """The report in a request's body. Raises NotAReport."""
    try:
        parsed = ReportBody.model_validate_json(body)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)[:_MAX_FIELDS_NAMED]
        fields = [{"field": _path(each["loc"]), "message": each["msg"]} for each in wrong]
        raise NotAReport("not a report", fields) from None
    if parsed.report is None and parsed.trainer_status is None:
        raise NotAReport("needs report or trainerStatus")
    return parsed


def parse_final_report(message: str) -> tuple[FinalReport | None, str]:
    """The trainer's final report, and the names of its fields that could not be read and are left out.

    (None, "") where the message is something else, such as the end of a log.
    """
    try:
        return FinalReport.model_validate_json(message), ""
    except ValidationError as error:
        wrong = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
    try:
        # Not json: that dies of a message that is nested deep, which this refuses.
        content = from_json(message)
    except ValueError:
        return None, ""
    if not isinstance(content, dict) or "exitCode" not in content:
        return None, ""
    unread = ", ".join(sorted(wrong))
    try:
        return FinalReport.model_validate({name: content[name] for name in content.keys() - wrong}), unread
    except ValidationError:
        return None, unread


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
