"""What is counted when Prometheus asks: the jobs that there are, and how old the news of each watch is."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from finetune_api.status import PHASES
from finetune_operator.metrics.instruments import REGISTRY
from finetune_operator.metrics.lifecycle import bounded_reason


@dataclass(frozen=True)
class Fleet(Collector):
    """Asks what it is given for the numbers of now, and passes on the instruments."""

    jobs: Callable[[], Mapping[tuple[str, str], int]]
    """How many FineTuneJobs there are by namespace, and phase and reason in one text."""
    watches: Callable[[], Mapping[str, float]]
    """Seconds since each watch last brought something, by resource."""
    queue: Callable[[], Mapping[str, tuple[int, float]]] = dict
    """How many jobs wait for a pass and the seconds for which the first has, by class of work."""

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        jobs = GaugeMetricFamily(
            "finetune_jobs",
            "FineTuneJobs that there are, by namespace, phase, and the reason of their condition Ready.",
            labels=["namespace", "phase", "reason"],
        )
        for labels, count in sorted(_labelled(self.jobs()).items()):
            jobs.add_metric(labels, count)
        depth = GaugeMetricFamily(
            "finetune_workqueue_depth",
            "Jobs that wait for a pass, by class: changes go before what can wait, such as numbers.",
            labels=["class"],
        )
        oldest = GaugeMetricFamily(
            "finetune_workqueue_oldest_seconds", "How long the first of them has waited, by class.", labels=["class"]
        )
        for name, (waiting, seconds) in self.queue().items():
            depth.add_metric([name], waiting)
            oldest.add_metric([name], seconds)
        watches = GaugeMetricFamily(
            "finetune_watch_age_seconds",
            "Time since the watch of a resource last brought something, a bookmark included; by resource.",
            labels=["resource"],
        )
        for resource, seconds in self.watches().items():
            watches.add_metric([resource], seconds)
        yield from (jobs, depth, oldest, watches)
        yield from REGISTRY.collect()


def _labelled(standings: Mapping[tuple[str, str], int]) -> Counter[tuple[str, str, str]]:
    """By namespace, phase and reason: what a status of others' hands may hold besides is one series at the most."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for (namespace, standing), count in standings.items():
        phase, _, reason = standing.partition(" ")
        counts[namespace, phase if phase in PHASES else "Unknown", bounded_reason(reason)] += count
    return counts
