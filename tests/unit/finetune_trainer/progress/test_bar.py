"""What `kubectl logs` shows of the progress."""

import io

import pytest

from finetune_trainer.progress.bar import ProgressBar


def test_in_a_log_each_state_of_the_bar_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logged: list[str] = []
    bar = ProgressBar(4, 1, logged.append)
    bar.show({"loss": 0.5})
    bar.to(4)
    bar.close()

    written = capsys.readouterr().err
    lines = written.splitlines(keepends=True)
    assert "\r" not in written
    assert all(line.endswith("\n") for line in lines)
    assert [line[: line.index("[")].split("|")[-1].strip() for line in lines] == ["1/4", "4/4"]
    assert "loss=0.5" in lines[-1]
    assert logged == written.splitlines()


class ClosedPipe(io.StringIO):
    """stderr of a notebook whose kernel is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(text)

    def flush(self) -> None:
        raise BrokenPipeError


def test_a_log_that_nobody_reads_any_more_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", ClosedPipe())
    logged: list[str] = []

    bar = ProgressBar(4, 1, logged.append)
    bar.to(4)
    bar.close()

    assert len(logged) == 2
