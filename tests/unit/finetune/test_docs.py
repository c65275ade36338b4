"""The Python of the docs runs as it stands there: against an API server in memory, and a bucket in one."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tests.s3_server import BUCKET, S3
from tests.unit.finetune.api_server import FTJ, FakeApi

import finetune

pytestmark = pytest.mark.usefixtures("kubeconfig")
ENDED = {
    "phase": "Succeeded",
    "metrics": [{"name": "eval_accuracy", "value": "0.581"}],
    "model": {"uri": "s3://models/stars/model", "digest": f"sha256:{'0' * 64}", "sizeBytes": 1},
    "curves": {"training": {"steps": "1 2", "series": [{"name": "loss", "values": "2 1"}]}},
}


def example(path: str) -> str:
    """The one example of a page that imports the client: fenced, or indented."""
    text = Path(path).read_text(encoding="utf-8")
    fenced = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    indented = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n)+", text, re.MULTILINE)]
    [found] = [block for block in (*fenced, *indented) if "from finetune import" in block]
    return found


def run(code: str, api: FakeApi) -> dict[str, Any]:
    api.answers["WATCH", FTJ] = lambda _: iter(
        [{"type": "MODIFIED", "object": api.job(name, **ENDED)} for name in [*api.jobs]]
    )
    names: dict[str, Any] = {}
    exec(compile(code, "example", "exec"), names)  # noqa: S102 - of our own docs
    return names


def test_a_job_of_the_hub_is_submitted_and_its_result_taken(
    api_server: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run(example("docs/how-to/use-the-command-line.md"), api_server)

    assert names["result"].metrics == {"eval_accuracy": 0.581}
    assert names["result"].model.uri == "s3://models/stars/model"
    assert names["result"].history()["loss"].to_list() == [2.0, 1.0]
    assert capsys.readouterr().out.splitlines()[-1] == "stars  Succeeded"


@pytest.mark.thorough
def test_a_data_frame_is_brought_into_a_bucket_and_submitted(
    api_server: FakeApi, s3_server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "docstrings").mkdir()
    import pandas as pd  # for half a second, which whoever collects the tests does without

    frame = pd.DataFrame({"text": [f"text {number}" for number in range(40)], "label": ["a", "b"] * 20})
    frame.to_csv(tmp_path / "docstrings" / "train.csv", index=False)
    code = example("docs/tutorials/from-a-csv.md")
    monkeypatch.chdir(tmp_path)

    names = run(code.replace("s3://bucket/", f"s3://{BUCKET}/"), api_server)

    assert names["result"].metrics == {"eval_accuracy": 0.581}
    assert api_server.jobs["docstrings"]["spec"]["dataset"]["source"] == f"s3://{BUCKET}/data/docstrings.parquet"
    assert "data/docstrings.parquet" in s3_server.names("data/")


def test_the_example_of_the_package_itself_runs(api_server: FakeApi) -> None:
    code = textwrap.dedent((finetune.__doc__ or "").split("\n\n", 1)[1].partition("\n\nor ")[0]).replace(
        "model=..., dataset=...", "model={'source': 'org/x'}, dataset={'source': 'org/y', 'train': {'split': 'train'}}"
    )

    assert run(code, api_server)["result"].metrics == {"eval_accuracy": 0.581}
