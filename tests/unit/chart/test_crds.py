"""The CRDs and their policies are the generated ones."""

import pytest
import yaml
from tests.unit.chart.values import LABELS, OWN_POLICY, ROOT, Render


@pytest.mark.parametrize("plural", ["finetunejobs", "finetuneprofiles"])
def test_the_crds_are_the_generated_ones_and_outlive_the_release(render: Render, plural: str) -> None:
    generated = yaml.load((ROOT / "crds" / f"{plural}.yaml").read_text(), Loader=yaml.CSafeLoader)

    rendered = render()[f"CustomResourceDefinition/{plural}.finetune.dev"]

    metadata = rendered.pop("metadata")
    assert rendered == {key: value for key, value in generated.items() if key != "metadata"}
    assert metadata == {
        "name": f"{plural}.finetune.dev",
        "labels": LABELS,
        "annotations": {"helm.sh/resource-policy": "keep"},
    }


def test_the_policies_beside_the_crds_are_the_generated_ones(render: Render) -> None:
    generated = list(yaml.load_all((ROOT / "crds" / "finetunejobs-policy.yaml").read_text(), Loader=yaml.CSafeLoader))

    rendered = render()

    for each in generated:
        name = each["metadata"]["name"]
        assert rendered[f"{each['kind']}/{name}"] == {
            **each,
            "metadata": {"name": name, "labels": LABELS},
        }


def test_the_crds_and_their_policy_can_be_left_to_somebody_else(render: Render) -> None:
    assert not [
        name for name in render(crds={"install": False}) if name.endswith(".finetune.dev") and OWN_POLICY not in name
    ]
