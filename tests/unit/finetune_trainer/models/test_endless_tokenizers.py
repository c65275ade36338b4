"""A tokenizer or chat template that comes to no end, or panics over what it reads, is a failure of the model with a reason."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.trainer.tiny import make_tokenizer
from tokenizers import Regex, pre_tokenizers

from finetune_api.report import ENV_TERMINATION_LOG, FinalReport
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.models.tokenizer import tokenizer_panics

# Tokenizers compute without Python's lock, templates with it.
ENDLESS = {
    "template": """
from jinja2.sandbox import ImmutableSandboxedEnvironment
loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
ImmutableSandboxedEnvironment().from_string(loop).render()
""",
    "expression": """
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
tokenizer = Tokenizer(models.WordLevel({"a": 0}, "a"))
tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(a|aa)+b"), "isolated")
tokenizer.encode_batch([("a" * 25 + "c") * 100_000])
""",
}
PROGRAM = """
import logging
from finetune_api.reasons import Reason
from finetune_trainer import __main__ as program
from finetune_trainer.base.errors import model_error
from finetune_trainer.base.time_limit import end_late_work_by, ended_after
from finetune_trainer.progress.state import RunState

logging.basicConfig(format="%(message)s")
end_late_work_by(lambda error: program._end(RunState(), error))
with ended_after(0.5, model_error(Reason.MODEL_UNREADABLE, "it comes to no end")):
"""


@pytest.mark.parametrize("endless", ENDLESS)
def test_what_comes_to_no_end_ends_with_a_reason(endless: str, tmp_path: Path) -> None:
    environment = {**os.environ, ENV_TERMINATION_LOG: str(tmp_path / "termination"), "OMP_NUM_THREADS": "1"}
    work = "".join(f"    {line}\n" for line in ENDLESS[endless].strip().splitlines())

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + work],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 12, done.stderr
    failure = FinalReport.model_validate_json((tmp_path / "termination").read_text()).failure
    assert failure is not None
    assert (failure.reason, failure.exit_code) == ("ModelUnreadable", 12)
    assert failure.message == "it comes to no end"


def test_an_expression_that_tries_for_ever_is_a_failure_of_the_model() -> None:
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(a+)+$"), "isolated")

    with pytest.raises(TrainerError) as failed, tokenizer_panics("org/model"):
        tokenizer("a" * 40 + "b")

    assert failed.value.reason == "ModelUnreadable"
    assert (
        failed.value.message == "the tokenizer of org/model fails: Onig: Regex search error: retry-limit-in-match over"
    )
