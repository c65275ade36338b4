"""A user's own fields in place of what is proposed, of which nothing is left that does not go with them."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic.alias_generators import to_camel

from finetune_api.base import JsonObject

_ROWS: Final = ("train", "evaluation")


def with_own(proposed: JsonObject, own: Mapping[str, Any]) -> JsonObject:
    """Return the proposed spec with the user's own sections over it; names may be Python's (batch_size) or the manifest's.

    Of the dataset's `train` and `evaluation`, too, the user's fields are over what is proposed: fewer rows of the same split.
    """
    asked = {to_camel(name): _camel(value) for name, value in own.items()}
    spec = {**proposed, **{name: _over(proposed.get(name), value) for name, value in asked.items()}}
    data, asked_data = spec.get("dataset"), _section(asked, "dataset")
    if isinstance(data, dict):
        rows = {
            name: _over(proposed["dataset"].get(name), _camel(asked_data[name])) for name in _ROWS if name in asked_data
        }
        spec["dataset"] = {**data, **rows}
        if spec["dataset"].get("evaluation") is None and "evaluation" not in asked:
            spec.pop("evaluation", None)
    _settle_output(spec, _section(asked, "output"))
    _settle_metrics(spec, _section(asked, "evaluation"))
    return spec


def _settle_output(spec: JsonObject, own: JsonObject) -> None:
    """A place of the user's own needs no volume."""
    if own.get("uri") is not None and "size" not in own:
        spec["output"].pop("size", None)


def _settle_metrics(spec: JsonObject, own: JsonObject) -> None:
    """The best checkpoint is chosen by a metric that is computed."""
    metrics, best = own.get("metrics"), own.get("bestMetric")
    evaluation = spec.get("evaluation")
    if not isinstance(evaluation, dict):
        return
    # What is no list is refused by its field.
    if isinstance(metrics, list | tuple) and best is None and evaluation.get("bestMetric") not in ("loss", *metrics):
        evaluation.pop("bestMetric", None)
    proposed = evaluation.get("metrics")
    if best not in (None, "loss") and "metrics" not in own and proposed and best not in proposed:
        evaluation["metrics"] = [*proposed, best]


def _over(proposed: Any, own: Any) -> Any:
    return {**proposed, **own} if isinstance(proposed, dict) and isinstance(own, dict) else own


def _section(spec: JsonObject, name: str) -> JsonObject:
    section = spec.get(name)
    return section if isinstance(section, dict) else {}


def _camel(value: Any) -> Any:
    return {to_camel(str(name)): each for name, each in value.items()} if isinstance(value, Mapping) else value
