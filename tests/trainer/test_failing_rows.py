"""What fails at the same rows in each attempt ends as a fault of data or model that names them, and is not tried again."""

from pathlib import Path
from typing import Any

import datasets
import pytest
import transformers
from tests.trainer.crowd import run_together
from tests.trainer.tiny import LONGEST, VOCABULARY, Settings, Train, make_tokenizer, texts

from finetune_api.report import ExitCode

ENGINES = pytest.mark.parametrize("engine", ["trainer", "pytorch"])


def save_bart(folder: Path) -> str:
    """A BART of some thousand weights, whose end-of-text token is [SEP]."""
    transformers.set_seed(0)
    config = transformers.BartConfig(
        vocab_size=len(VOCABULARY), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=LONGEST,
        pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=3, forced_eos_token_id=3,
    )  # fmt: skip
    transformers.BartModel(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return f"file://{folder}"


def with_an_end_in(rows: dict[str, list[str]], number: int) -> dict[str, list[str]]:
    rows["text"][number - 1] += " [SEP] and then"
    return rows


def use(settings: Settings, folder: Path, train: dict[str, Any], evaluation: dict[str, Any]) -> None:
    for name, rows in {"train": train, "test": evaluation}.items():
        datasets.Dataset.from_dict(rows).to_parquet(folder / "rows" / f"{name}.parquet")
    settings["dataset"]["source"] = f"file://{folder}/rows"


@pytest.mark.slow
@ENGINES
def test_a_text_that_no_step_can_take_is_named(settings: Settings, train: Train, tmp_path: Path, engine: str) -> None:
    settings["model"] = {"source": save_bart(tmp_path / "bart")}
    settings["training"]["engine"] = engine
    use(settings, tmp_path, with_an_end_in(texts(40), 17), texts(8))

    ended = train(settings)

    assert ended.code == ExitCode.DATA
    assert ended.final.failure
    assert (ended.final.failure.reason, "row 17 of split 'train'" in ended.final.failure.message) == ("RowFails", True)
    assert "same number of <eos> tokens" in ended.final.failure.message
    warned = [warning.message for warning in ended.final.warnings if warning.reason == "EndWithinText"]
    assert len(warned) == 1
    assert "1 rows hold the model's end-of-text token '[SEP]' in their text, the first is row 17 " in warned[0]


@pytest.mark.slow
@ENGINES
def test_a_text_that_no_evaluation_can_take_is_named(
    settings: Settings, train: Train, tmp_path: Path, engine: str
) -> None:
    settings["model"] = {"source": save_bart(tmp_path / "bart")}
    settings["training"] |= {"engine": engine, "epochs": 0.2}
    use(settings, tmp_path, texts(40), with_an_end_in(texts(40, seed=1), 23))

    ended = train(settings)

    assert ended.code == ExitCode.DATA
    assert ended.final.failure
    assert "row 23 of split 'test'" in ended.final.failure.message
    assert "cannot be evaluated" in ended.final.failure.message


@ENGINES
def test_a_model_that_fails_on_every_row_is_at_fault(
    settings: Settings, train: Train, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    def forward(self: Any, *arguments: Any, **options: Any) -> None:
        raise IndexError("index out of range in self")

    monkeypatch.setattr(transformers.BertModel, "forward", forward)
    settings["training"]["engine"] = engine

    ended = train(settings)

    assert ended.code == ExitCode.MODEL
    assert ended.final.failure
    assert (ended.final.failure.reason, "IndexError" in ended.final.failure.message) == ("ModelFails", True)


@pytest.mark.slow
def test_one_of_two_processes_names_the_row(settings: Settings, tmp_path: Path) -> None:
    settings["model"] = {"source": save_bart(tmp_path / "bart")}
    settings["processesPerNode"] = 2
    use(settings, tmp_path, with_an_end_in(texts(40), 17), texts(8))

    ended = run_together(settings, tmp_path / "reports")

    assert ExitCode.DATA in ended.codes
    told = [word.failure for word in ended.reports.values() if word.exit_code == ExitCode.DATA]
    assert all(failure and "row 17 of split 'train'" in failure.message for failure in told)


def test_what_does_not_fail_again_stays_unforeseen(settings: Settings, train: Train) -> None:
    with pytest.MonkeyPatch.context() as patch:

        def forward(self: Any, *arguments: Any, **options: Any) -> None:
            patch.undo()
            raise RuntimeError("a cosmic ray")

        patch.setattr(transformers.BertForSequenceClassification, "forward", forward)

        ended = train(settings)

    assert ended.code == ExitCode.INTERNAL
    assert "a cosmic ray" in ended.said
