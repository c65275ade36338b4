"""The check of the CRD against the last release's: each kind of break is found, and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.crd import custom_resource_definition, profile_definition
from finetune_operator.generate.compatibility import RELEASED, breaks, unaccepted_breaks

ROOT = Path(__file__).parents[4]
Change = Callable[[dict[str, Any]], Any]


def spec_of(crd: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return fields


CRD = custom_resource_definition()
CRD_AS_TEXT = json.dumps(CRD)
FIRST_RULE = spec_of(CRD)["x-kubernetes-validations"][0]["rule"]


@pytest.fixture
def crd() -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(CRD_AS_TEXT)
    return changed


def training_of(crd: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = spec_of(crd)["properties"]["training"]["properties"]
    return fields


def change_rules(crd: dict[str, Any], before: str, after: str) -> None:
    for rule in spec_of(crd)["x-kubernetes-validations"]:
        rule["rule"] = rule["rule"].replace(before, after)


def add_rule(crd: dict[str, Any], rule: str) -> None:
    spec_of(crd)["x-kubernetes-validations"].append({"rule": rule, "message": "no"})


def test_these_crds_break_nothing_of_the_last_release() -> None:
    assert unaccepted_breaks(ROOT, CRD, profile_definition()) == []


def test_a_break_of_profiles_is_one_too() -> None:
    profiles = profile_definition()
    del spec_of(profiles)["properties"]["limits"]["properties"]["gpus"]

    assert unaccepted_breaks(ROOT, CRD, profiles) == ["finetuneprofiles: v1alpha1.spec.limits.gpus: removed"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda crd: training_of(crd).pop("seed"), "training.seed: removed"),
        (lambda crd: training_of(crd)["seed"].update(type="string"), "training.seed: type changed from 'integer' to 'string'"),
        (lambda crd: training_of(crd)["seed"].update(default=43), "training.seed: default changed from 42 to 43"),
        (lambda crd: training_of(crd)["seed"].pop("default"), "training.seed: default changed from 42 to None"),
        (lambda crd: training_of(crd)["seed"].update(maximum=9), "training.seed: maximum lowered from 4294967295 to 9"),
        (lambda crd: training_of(crd)["seed"].update(minimum=1), "training.seed: minimum raised from 0 to 1"),
        (lambda crd: training_of(crd)["seed"].update(exclusiveMinimum=True), "training.seed: got exclusiveMinimum"),
        (lambda crd: training_of(crd)["engine"]["enum"].remove("keras"), "training.engine: enum lost 'keras'"),
        (lambda crd: training_of(crd)["lora"].update(default={}), "training.lora: got its default"),
        (lambda crd: training_of(crd)["lora"].update(required=["rank"]), "training.lora.rank: is required now"),
        (
            lambda crd: training_of(crd)["engine"].update({"x-kubernetes-validations": [{"rule": "self.matches('^a')"}]}),
            "training.engine: new or changed rule: self.matches('^a')",
        ),
        (
            lambda crd: training_of(crd)["lora"]["properties"]["targetModules"].update(minItems=2),
            "training.lora.targetModules: minItems raised from 1 to 2",
        ),
        (
            lambda crd: training_of(crd)["lora"]["properties"]["targetModules"]["items"].update(maxLength=1),
            "training.lora.targetModules[]: maxLength lowered from 256 to 1",
        ),
        (
            lambda crd: training_of(crd)["arguments"]["additionalProperties"].pop("x-kubernetes-preserve-unknown-fields"),
            "training.arguments[*]: lost x-kubernetes-preserve-unknown-fields",
        ),
        (lambda crd: training_of(crd)["arguments"].pop("additionalProperties"), "training.arguments: lost additionalProperties"),
    ],
)  # fmt: skip
def test_what_takes_something_from_a_field_is_a_break(crd: dict[str, Any], change: Change, line: str) -> None:
    change(crd)

    assert breaks(CRD, crd) == [f"v1alpha1.spec.{line}"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda crd: crd["spec"].update(scope="Cluster"), "scope: changed"),
        (lambda crd: crd["spec"]["names"].update(plural="jobs"), "names.plural: changed"),
        (lambda crd: crd["spec"]["names"]["shortNames"].clear(), "names.shortNames: lost 'ftj'"),
        (lambda crd: crd["spec"]["versions"][0].update(served=False), "v1alpha1: no longer served"),
        (lambda crd: crd["spec"]["versions"][0]["subresources"].clear(), "v1alpha1: lost the subresource status"),
        (
            lambda crd: spec_of(crd)["x-kubernetes-validations"].append({"rule": "false", "message": "no"}),
            "v1alpha1.spec: new or changed rule: false",
        ),
        (
            lambda crd: add_rule(crd, "self.training.engine != 'keras' || self.resources.gpus == 0"),
            "v1alpha1.spec: new or changed rule: self.training.engine != 'keras' || self.resources.gpus == 0",
        ),
        (
            lambda crd: add_rule(crd, "!has(self.new) || self.resources.gpus == 0"),
            "v1alpha1.spec: new or changed rule: !has(self.new) || self.resources.gpus == 0",
        ),
        (
            lambda crd: (
                spec_of(crd)["properties"].update(new={"type": "string", "default": "a"}),
                add_rule(crd, "!has(self.new) || self.suspend"),
            ),
            "v1alpha1.spec: new or changed rule: !has(self.new) || self.suspend",
        ),
        (
            lambda crd: spec_of(crd)["x-kubernetes-validations"][0].update(rule=f"{FIRST_RULE} && self.suspend"),
            f"v1alpha1.spec: new or changed rule: {FIRST_RULE} && self.suspend",
        ),
        (
            lambda crd: spec_of(crd)["properties"]["pod"]["properties"]["image"].update(pattern="^a$"),
            r"v1alpha1.spec.pod.image: pattern changed from '^\\S+$' to '^a$'",
        ),
    ],
)
def test_what_takes_something_from_the_resource_is_a_break(crd: dict[str, Any], change: Change, line: str) -> None:
    change(crd)

    assert breaks(CRD, crd) == [line]


@pytest.mark.parametrize(
    "change",
    [
        lambda crd: training_of(crd).update(new={"type": "integer", "default": 1}),
        lambda crd: training_of(crd)["engine"]["enum"].append("jax"),
        lambda crd: change_rules(crd, "'perplexity'", "'perplexity', 'bits_per_byte'"),
        lambda crd: add_rule(crd, "!(self.task == 'new-task') || self.resources.gpus == 0"),
        lambda crd: add_rule(crd, "self.training.engine != 'jax' || self.resources.gpus == 0"),
        lambda crd: add_rule(crd, "has(self.new) == has(oldSelf.new) && (!has(self.new) || self.new == oldSelf.new)"),
        lambda crd: (
            spec_of(crd)["properties"].update(new={"type": "string"}),
            add_rule(crd, "!has(self.new) || self.resources.gpus == 0"),
        ),
        lambda crd: spec_of(crd)["x-kubernetes-validations"][0].update(rule=f"{FIRST_RULE} || self.suspend"),
        lambda crd: training_of(crd)["seed"].update(maximum=2**40, description="another"),
        lambda crd: training_of(crd)["seed"].pop("minimum"),
        lambda crd: spec_of(crd)["required"].remove("task"),
        lambda crd: spec_of(crd)["x-kubernetes-validations"].pop(),
        lambda crd: spec_of(crd)["x-kubernetes-validations"][0].update(message="another"),
        lambda crd: spec_of(crd)["properties"]["training"]["default"].update(new=1),
        lambda crd: crd["spec"]["versions"].append({**crd["spec"]["versions"][0], "name": "v1"}),
    ],
)
def test_what_allows_more_is_no_break(crd: dict[str, Any], change: Change) -> None:
    change(crd)

    assert breaks(CRD, crd) == []


def test_a_metric_that_a_task_loses_is_a_break(crd: dict[str, Any]) -> None:
    change_rules(crd, ", 'perplexity'", "")

    begins = "v1alpha1.spec: new or changed rule: !(self.task == 'causal-lm')"
    assert [line for line in breaks(CRD, crd) if line.startswith(begins)]


def test_a_break_is_accepted_with_a_reason_and_no_longer_than_it_is_one(tmp_path: Path, crd: dict[str, Any]) -> None:
    shutil.copytree(ROOT / RELEASED, tmp_path / RELEASED)
    accepted = {
        **yaml.safe_load((ROOT / RELEASED / "accepted-breaks.yaml").read_text()),
        "v1alpha1.spec.training.seed: removed": "nobody used it",
        "v1alpha1.spec.training.epochs: removed": "",
        "v1alpha1.spec.suspend: removed": "planned",
    }
    (tmp_path / RELEASED / "accepted-breaks.yaml").write_text(yaml.safe_dump(accepted))
    del training_of(crd)["seed"], training_of(crd)["epochs"]

    found = unaccepted_breaks(tmp_path, crd, profile_definition())

    assert found == [
        "v1alpha1.spec.training.epochs: removed",
        "accepted-breaks.yaml: not a break: v1alpha1.spec.suspend: removed",
    ]


def test_the_newest_release_counts(tmp_path: Path, crd: dict[str, Any]) -> None:
    shutil.copytree(ROOT / RELEASED, tmp_path / RELEASED)
    del training_of(crd)["seed"]
    newest = tmp_path / RELEASED / "v0.10.0" / "finetunejobs.yaml"
    newest.parent.mkdir()
    newest.write_text(yaml.dump(crd, Dumper=yaml.CSafeDumper))
    (tmp_path / RELEASED / "accepted-breaks.yaml").write_text("{}")

    assert unaccepted_breaks(tmp_path, crd) == []
