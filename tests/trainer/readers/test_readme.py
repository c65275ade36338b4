"""What a data set's README says of its configurations, files and classes is followed."""

import datasets
import pytest
from tests.trainer.readers.reading import LINES, READ, ROWS, Read, failure

from finetune_trainer.base.errors import TrainerError

# Configurations, and what is kept

CONFIGS = """---
configs:
- config_name: en
  default: true
  data_files:
  - split: train
    path: en.jsonl
- config_name: de
  data_files: de.csv
---
"""
TWO = {"README.md": CONFIGS, "en.jsonl": LINES, "de.csv": "text,label\nc,z\n"}


def test_the_configuration_that_is_asked_for_is_read(read: Read) -> None:
    assert read(TWO, name="de").dataset[:] == {"text": ["c"], "label": ["z"]}
    assert read(TWO, name="en").dataset[:] == READ
    assert read(TWO).dataset[:] == READ


def test_a_configuration_that_is_not_there_is_reported_with_those_that_are(read: Read) -> None:
    found = failure(read, TWO, name="den")

    assert found.reason == "DatasetNameUnknown"
    assert "no configuration 'den', only en, de" in found.message


def test_without_a_default_a_configuration_has_to_be_named(read: Read) -> None:
    files = {**TWO, "README.md": CONFIGS.replace("  default: true\n", "")}

    assert failure(read, files).reason == "DatasetNameNeeded"
    assert len(read(files, name="de").dataset) == 1


@pytest.mark.parametrize("files", [{"a.csv": ROWS}, {"train.csv": ROWS, "test.csv": ROWS}])
def test_a_name_where_there_are_no_configurations_is_refused(read: Read, files: dict[str, str | bytes]) -> None:
    assert failure(read, files, name="de").reason == "DatasetNameUnknown"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd.csv",
        "../beside.csv",
        "a/../../b.csv",
        "~/x.csv",
        "https://169.254.169.254/x.csv",
        "zip://a::file:///b.csv",
    ],
)
@pytest.mark.parametrize(
    "named", ["data_files: {}", "data_files:\n  - split: train\n    path: [a.csv, '{}']", "data_dir: {}"]
)
def test_a_readme_leads_to_no_file_but_those_of_its_data_set(read: Read, path: str, named: str) -> None:
    readme = f"---\nconfigs:\n- config_name: a\n  {named.format(path)}\n---\n"

    with pytest.raises(TrainerError, match="names a file that is not its own"):
        read({"README.md": readme, "a.csv": "text,label\na,x\n"})


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ("configs: [", "expected the node content"),
        ("- a", "should be a dict"),
        ("configs: en", "Expected configs to be a list"),
        ("configs:\n- data_files: a.jsonl", "Each config must include `config_name`"),
        ("configs:\n- config_name: a\n  data_files: {train: a.jsonl}", "Expected data_files in YAML"),
        ("configs:\n- config_name: a\n  data_files:\n  - {split: 1, path: a.jsonl}", "expected string"),
        ("configs:\n- config_name: a\n  data_files: b.jsonl", "Unable to find 'b.jsonl'"),
        ("configs:\n- config_name: a\n  data_dir: b", "doesn't contain any data files"),
        ("configs:\n- {config_name: a, default: true}\n- {config_name: b, default: true}", "several default configs"),
        ("configs:\n- config_name: a\n  data_files: a.jsonl\n  sep: '||'", "'||' is not a single character"),
        ("dataset_info: x", "'str' object"),
        ("dataset_info:\n  features:\n  - name: text\n    dtype: strong", "'Strong' not found"),
    ],
)
def test_a_readme_that_cannot_be_used_is_named_with_what_is_wrong_in_it(read: Read, metadata: str, why: str) -> None:
    found = failure(read, {"README.md": f"---\n{metadata}\n---\n", "a.jsonl": LINES})

    assert found.reason == "DatasetUnreadable"
    assert ": the metadata at the top of its README.md cannot be used: " in found.message
    assert why in found.message
    assert "README.md" in str(found.hint)


def test_a_readme_in_latin_1_is_named(read: Read) -> None:
    found = failure(read, {"README.md": "---\nlicense: mit\n---\nCafé".encode("latin1"), "a.jsonl": LINES})

    assert (found.reason, "its README.md is not UTF-8" in found.message) == ("NotUtf8", True)


def test_a_separator_that_the_readme_names_is_used(read: Read) -> None:
    readme = "---\nconfigs:\n- config_name: a\n  data_files: a.csv\n  sep: ';'\n---\n"

    assert read({"README.md": readme, "a.csv": "text;label\na, b;x\n"}).dataset[0] == {"text": "a, b", "label": "x"}


def test_a_separator_of_several_characters_is_used_where_the_readme_names_the_columns(read: Read) -> None:
    readme = (
        "---\nconfigs:\n- config_name: a\n  data_files: a.csv\n  sep: '\\s+'\n  header: null\n"
        "  names: [text, label]\n---\n"
    )

    assert read({"README.md": readme, "a.csv": "a x\nb   y\n"}).dataset[:] == {"text": ["a", "b"], "label": ["x", "y"]}


def test_classes_that_the_readme_declares_are_kept(read: Read) -> None:
    readme = (
        "---\ndataset_info:\n  features:\n  - name: text\n    dtype: string\n  - name: label\n    dtype:\n"
        "      class_label:\n        names:\n          '0': bad\n          '1': good\n---\n"
    )
    rows = read({"README.md": readme, "a.jsonl": '{"text": "a", "label": 1}'})

    assert rows.dataset.features["label"] == datasets.ClassLabel(names=["bad", "good"])
