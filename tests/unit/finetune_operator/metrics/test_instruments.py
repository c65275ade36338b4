"""The instruments are those with which something counts."""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from finetune_operator.metrics import instruments


def test_something_counts_with_each_instrument() -> None:
    made = Path(instruments.__file__)
    names = {name for name, each in vars(instruments).items() if isinstance(each, MetricWrapperBase)}
    texts = [path.read_text() for path in made.parents[1].rglob("*.py") if path != made]

    used = {name for text in texts for name in re.findall(r"\b[A-Z][A-Z_]+\b", text)}

    assert names
    assert names - used == set()


def test_a_counter_and_a_histogram_are_scraped_without_when_they_began() -> None:
    instruments.REPORTS.labels("taken").inc(0)

    names = {sample.name for family in instruments.REGISTRY.collect() for sample in family.samples}

    assert "finetune_reports_total" in names
    assert not {name for name in names if name.endswith("_created")}
