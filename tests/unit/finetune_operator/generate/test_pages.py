"""The reference names everything that the code has."""

import re
from enum import Enum
from pathlib import Path
from typing import get_args

import pytest

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_api.training import Metric
from finetune_operator.generate.chart_values import chart_values
from finetune_operator.generate.pages import member_docstrings, reference_pages
from finetune_operator.settings import Settings

ROOT = Path(__file__).parents[4]
VALUES = (ROOT / "charts/finetune-operator/values.yaml").read_text()


NOTHING_TO_DO = {
    "Completed", "ContainerCreating", "EarlyStopping", "EndingFormerRun", "Evaluating", "Exporting",
    "Failing", "Finished", "Finishing", "NewRun", "Pending", "Preflight", "PreflightPassed", "Preparing", "Queued",
    "Resuming", "Retrying", "Running", "Saving", "Stopping", "Succeeded", "Suspended", "Training",
}  # fmt: skip
"""Where a job stands, and what happened to it from outside."""


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return reference_pages(VALUES)


def names(page: str, column: int = 1) -> list[str]:
    """What stands in backticks at the beginning of each row."""
    return re.findall(rf"^(?:\| [^|]*?){{{column - 1}}}\| `([^`]+)`", page, re.MULTILINE)


def test_every_setting_of_the_operator_has_a_row_with_its_variable(pages: dict[str, str]) -> None:
    assert names(pages["settings.md"]) == [f"FINETUNE_OPERATOR_{name.upper()}" for name in Settings.model_fields]


def test_every_value_of_the_chart_is_described() -> None:
    assert [value.path for value in chart_values(VALUES) if not value.description] == []


def test_every_exit_code_says_what_it_means_and_whether_it_is_tried_again(pages: dict[str, str]) -> None:
    rows = [line.split(" | ") for line in pages["exit-codes.md"].splitlines() if re.match(r"\| \d", line)]

    assert [(row[0], row[1], row[2]) for row in rows] == [
        ("| 0", "`SUCCESS`", ""),
        ("| 1", "`INTERNAL`", "yes"),
        ("| 10", "`BAD_CONFIGURATION`", "no"),
        ("| 11", "`DATA`", "no"),
        ("| 12", "`MODEL`", "no"),
        ("| 13", "`OUT_OF_MEMORY`", "no"),
        ("| 14", "`LOSS_NOT_FINITE`", "no"),
        ("| 15", "`OUTPUT`", "no"),
        ("| 16", "`DEVICE`", "yes"),
        ("| 17", "`PEER_LOST`", "yes, not counted"),
        ("| 18", "`SMALLER_BATCHES`", "yes, not counted"),
        ("| 19", "`STALLED`", "yes"),
        ("| 143", "`STOPPED`", "yes, not counted"),
    ]
    assert [code.name for code in ExitCode if code.name not in member_docstrings(ExitCode)] == []


def test_every_reason_has_a_row_and_every_mistake_a_remedy(pages: dict[str, str]) -> None:
    assert names(pages["reasons.md"]) == sorted(Reason)
    assert {str(reason) for reason in Reason if not reason.remedy} == NOTHING_TO_DO
    assert [reason for reason in Reason if reason.remedy and not reason.remedy.endswith(".")] == []


def test_every_metric_has_a_row(pages: dict[str, str]) -> None:
    assert names(pages["metrics.md"]) == list(get_args(Metric))


def test_spec_status_and_run_yaml_have_a_section_for_each_of_their_objects(pages: dict[str, str]) -> None:
    def headings(page: str) -> set[str]:
        return set(re.findall(r"^## (.+)$", pages[page], re.MULTILINE))

    assert {"spec", "spec.training.lora", "spec.pod.env[]", "status", "status.checkpoints[].metrics[]"} <= headings(
        "finetunejob.md"
    )
    assert {"Top level", "training.lora", "job", "output", "reporting"} <= headings("run-yaml.md")


def test_the_docstring_below_a_member_of_an_enum_is_found() -> None:
    class Colour(Enum):
        """Not this one."""

        RED = 1
        """Like
        a rose."""
        BLUE = 2

    assert member_docstrings(Colour) == {"RED": "Like\na rose."}
