"""What the instruments hold, as numbers by name and labels."""

from prometheus_client.registry import Collector

from finetune_operator.metrics.instruments import REGISTRY


def samples(collector: Collector | None = None) -> dict[tuple[str, ...], float]:
    """Each sample but buckets, by its name and the values of its labels."""
    metrics = collector.collect() if collector else REGISTRY.collect()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in metrics
        for sample in metric.samples
        if not sample.name.endswith("_bucket")
    }


def added(before: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """What has grown of `finetune_` since `before`, and by how much."""
    grown = {name: value - before.get(name, 0.0) for name, value in samples().items()}
    return {name: value for name, value in grown.items() if value and name[0].startswith("finetune_")}
