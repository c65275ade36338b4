"""A job in a notebook: bar, curves and why, and whatever a pod or a user wrote is text."""

from typing import Any
from xml.etree import ElementTree

from finetune import FineTuneJob
from finetune.async_client import AsyncClient, AsyncJob
from finetune.explanation import Explanation
from finetune.logs import LogLine
from finetune.notebook import chart, job_html
from finetune.snapshot import Snapshot, read_snapshot

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=y>"


def parsed(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(html)  # noqa: S314 - our own


def snapshot(status: dict[str, Any], name: str = "stars") -> Snapshot:
    metadata = {"namespace": "team-a", "name": name, "uid": "1", "creationTimestamp": "2026-11-20T12:00:00Z"}
    return read_snapshot({"metadata": metadata, "spec": {}, "status": status})


def test_a_job_that_trains_shows_bar_best_metric_and_curves() -> None:
    curves = {
        "training": {
            "steps": "10 20 30",
            "series": [{"name": "loss", "values": "3 2 1"}, {"name": "learning_rate", "values": "1 1 1"}],
        },
        "evaluation": {"steps": "20 30", "series": [{"name": "eval_accuracy", "values": "0.5 0.625"}]},
    }
    progress = {"step": 30, "totalSteps": 60, "percent": 50}

    page = parsed(job_html(snapshot({"phase": "Running", "progress": progress, "curves": curves})))

    bar = page.find(".//progress")
    assert bar is not None
    assert bar.attrib == {"max": "100", "value": "50"}
    assert "50 %, 30 of 60 steps" in "".join(page.itertext())
    assert [each.text for each in page.iter("figcaption")] == ["loss 1", "accuracy 0.625"]
    assert page.find(".//polyline").attrib["points"] == "4.0,4.0 160.0,48.0 316.0,92.0"  # type: ignore[union-attr]


def test_a_job_that_failed_shows_why_and_what_to_do() -> None:
    failure = {"reason": "ColumnNotFound", "message": "no column 'tag'", "hint": "did you mean 'tags'?", "exitCode": 11}

    page = parsed(job_html(snapshot({"phase": "Failed", "failure": failure})))

    assert [each.text for each in page][1:] == ["ColumnNotFound: no column 'tag'", "did you mean 'tags'?"]


def test_what_is_printed_is_for_people() -> None:
    spec: dict[str, Any] = {
        "task": "causal-lm", "model": {"source": "org/m"}, "dataset": {"source": "org/d", "train": {"split": "train"}},
    }  # fmt: skip
    explanation = Explanation("stars", "Failed", "GpuGone", "", "the GPU is gone", "Run it again.", None, "Event: gone")

    assert str(FineTuneJob.of("stars", **spec)).startswith("apiVersion: finetune.dev/v1alpha1\nkind: FineTuneJob\n")
    assert str(LogLine("step 1", "stars-0", "now")) == "step 1"
    assert str(explanation) == "stars is Failed (GpuGone): the GPU is gone\nRun it again.\nEvent: gone"


def test_hostile_names_and_messages_are_text() -> None:
    failure = {"reason": "Internal", "message": HOSTILE, "hint": HOSTILE}
    series = [{"name": "eval_" + HOSTILE[:50], "values": "1 2"}]
    status = {
        "phase": "Failed",
        "failure": failure,
        "message": HOSTILE,
        "curves": {"evaluation": {"steps": "1 2", "series": series}},
    }

    page = parsed(job_html(snapshot(status, name=HOSTILE)))

    assert {each.tag for each in page.iter()} == {"div", "b", "figure", "figcaption", "svg", "polyline", "circle"}
    assert HOSTILE in "".join(page.itertext())


def test_curves_without_a_finite_number_are_left_out_and_one_point_is_a_dot() -> None:
    one = parsed(chart("loss", [(5, 2.0)]))

    assert chart("loss", []) == chart("loss", [(1, float("nan")), (2, float("inf"))]) == ""
    assert one.find(".//circle").attrib["cx"] == "4.0"  # type: ignore[union-attr]


def test_an_asynchronous_job_shows_itself_as_it_was_last_seen() -> None:
    seen = snapshot({"phase": "Running"})

    assert AsyncJob(AsyncClient(), seen)._repr_html_() == job_html(seen)


def test_a_manifest_shows_itself_as_yaml_and_a_job_its_phase() -> None:
    dataset = {"source": "org/data", "train": {"split": "a<b"}}
    manifest = FineTuneJob.of("stars", task="causal-lm", model={"source": "org/model"}, dataset=dataset)
    job = AsyncJob(AsyncClient(), snapshot({"phase": "Running"}))

    assert "split: a&lt;b" in manifest._repr_html_()
    assert repr(job) == "<FineTuneJob team-a/stars: Running>"
