"""Trackers of a run: settings and points arrive once, whatever the run and the tracker go through.

With MLFLOW naming MLflow's own program (make test-mlflow) its server takes the place of the one in this process.
"""

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.mlflow_server import ENV_PROGRAM, FakeServer, OwnServer
from tests.trainer.test_stop_and_resume import after_steps, at_step, die, start
from tests.trainer.tiny import Settings, Train

from finetune_api.report import ENV_SECRETS, ExitCode
from finetune_api.status import TrackedRun
from finetune_trainer.tracking import feed, registry, tracking
from finetune_trainer.tracking import server as tracking_server

OWN = os.environ.get(ENV_PROGRAM)
needs_fake = pytest.mark.skipif(bool(OWN), reason="asks for what a server of MLflow's own does not do")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeServer | OwnServer]:
    made = OwnServer(OWN, tmp_path_factory.mktemp("mlflow")) if OWN else FakeServer()
    yield made
    made.stop()


@pytest.fixture
def tracked(settings: Settings, server: FakeServer | OwnServer, request: pytest.FixtureRequest) -> Settings:
    """A run of 24 steps with a log of each, a checkpoint of each sixth, and trackers; the server is up."""
    server.start()
    settings["training"]["arguments"] = {"logging_steps": 1}
    settings["checkpoints"] = {"strategy": "steps", "steps": 6}
    settings["evaluation"] = {"strategy": "steps", "steps": 6, "metrics": ["accuracy"]}
    settings["tracking"] = {"mlflow": {"uri": server.uri, "experiment": request.node.name}, "tensorboard": {}}
    return settings


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(feed, "LONGEST_PAUSE_SECONDS", 0.1)


def scalars(out: Path) -> dict[str, list[int]]:
    """Steps by name, as TensorBoard reads them: all, without what it drops."""
    events = EventAccumulator(str(out / "tensorboard"), {"scalars": 0}).Reload()
    return {name: [event.step for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


ALL = list(range(1, 25))


def test_settings_points_and_outcome_are_at_mlflow_and_in_tensorboard(
    tracked: Settings, train: Train, server: FakeServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    ended = train(tracked)

    assert ended.code == 0
    run = server.run(request.node.name)
    assert (sorted(server.steps("loss", run)), sorted(server.steps("eval_accuracy", run))) == (ALL, [6, 12, 18, 24])
    parameters = {each["key"]: each["value"] for each in run["data"]["params"]}
    assert (parameters["training.learningRate"], parameters["training.batchSize"]) == ("0.005", "8")
    tags = {each["key"]: each["value"] for each in run["data"]["tags"]}
    assert (tags["finetune.seed"], tags["finetune.output"]) == ("42", f"file://{tmp_path}/out")
    assert (run["info"]["run_name"], run["info"]["status"]) == ("out", "FINISHED")
    shown = scalars(tmp_path / "out")
    assert (shown["train/loss"], shown["eval/accuracy"], shown["train/learning_rate"]) == (ALL, [6, 12, 18, 24], ALL)
    assert ended.final.tracking == [
        TrackedRun(
            tracker="mlflow",
            url=f"{server.uri}/#/experiments/{run['info']['experiment_id']}/runs/{run['info']['run_id']}",
        ),
        TrackedRun(tracker="tensorboard", url=f"file://{tmp_path}/out/tensorboard"),
    ]


@pytest.mark.slow
def test_a_run_that_dies_and_one_that_is_stopped_go_on_in_the_same_run_with_no_step_twice(
    tracked: Settings, train: Train, server: FakeServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        after_steps(patch, {10: die})  # steps 7 to 10 are lost, and their logs have arrived
        assert train(tracked).code == ExitCode.INTERNAL
    assert max(server.steps("loss", server.run(request.node.name))) >= 9
    assert server.run(request.node.name)["info"]["status"] == "FAILED"
    with pytest.MonkeyPatch.context() as patch:
        at_step(15)(patch)
        assert train(tracked).code == ExitCode.STOPPED
    assert server.run(request.node.name)["info"]["status"] == "SCHEDULED"

    assert train(tracked).code == 0

    run = server.run(request.node.name)
    assert (sorted(server.steps("loss", run)), sorted(server.steps("eval_loss", run))) == (ALL, [6, 12, 18, 24])
    assert run["info"]["status"] == "FINISHED"
    assert scalars(tmp_path / "out")["train/loss"] == ALL
    assert len(list((tmp_path / "out" / "tensorboard").iterdir())) == 1


def test_a_server_that_is_down_gets_all_points_when_it_is_back(
    tracked: Settings, train: Train, server: FakeServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    after_steps(monkeypatch, {4: server.stop, 20: server.start})

    ended = train(tracked)

    assert ended.code == 0
    assert sorted(server.steps("loss", server.run(request.node.name))) == ALL
    assert [run.message for run in ended.final.tracking] == [None, None]


@pytest.mark.slow
def test_a_server_that_is_down_to_the_end_costs_nothing_and_the_same_command_sends_the_rest(
    tracked: Settings, train: Train, server: FakeServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setitem(tracking.LAST_SECONDS, "finished", 0.2)
    server.stop()

    ended = train(tracked)

    assert ended.code == 0
    assert ended.final.tracking[0] == TrackedRun(
        tracker="mlflow",
        message=f"28 of 28 points have not arrived: {server.uri} cannot be reached (ConnectionError); the same command sends them",
    )
    server.start()
    monkeypatch.setitem(tracking.LAST_SECONDS, "finished", 60)
    again = train(tracked)
    assert (again.code, again.final.tracking[0].message) == (0, None)
    assert sorted(server.steps("loss", server.run(request.node.name))) == ALL


def test_the_training_does_not_wait_for_a_server_that_never_answers(
    tracked: Settings, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking_server, "TIMEOUTS", (None, None))  # whoever waited for it would wait for ever
    monkeypatch.setitem(tracking.LAST_SECONDS, "finished", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hole:
        tracked["tracking"]["mlflow"]["uri"] = f"http://127.0.0.1:{hole.getsockname()[1]}"

        ended = train(tracked)

    assert (ended.code, ended.final.progress and ended.final.progress.step) == (0, 24)
    assert (
        ended.final.tracking[0].message
        == "28 of 28 points have not arrived: it takes too long; the same command sends them"
    )


@pytest.mark.slow
@needs_fake
def test_a_wrong_token_is_said_and_the_right_one_is_taken_from_the_secret(
    tracked: Settings, train: Train, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secrets" / "tracking"
    secret.mkdir(parents=True)
    monkeypatch.setenv(ENV_SECRETS, str(secret.parent))
    monkeypatch.setitem(tracking.LAST_SECONDS, "finished", 0.2)
    (secret / "MLFLOW_TRACKING_TOKEN").write_text("sesame-of-yesterday\n")
    server.password = "Bearer sesame-of-today"

    ended = train(tracked)

    assert ended.code == 0
    assert ended.final.tracking[0].message == (
        f"28 of 28 points have not arrived: {server.uri} refuses the credentials (401): check the Secret of tracking.secretRef, outside a cluster the environment; the same command sends them"
    )
    (secret / "MLFLOW_TRACKING_TOKEN").write_text("sesame-of-today")
    monkeypatch.setitem(tracking.LAST_SECONDS, "finished", 60)
    again = train(tracked)
    server.password = None
    assert again.final.tracking[0].message is None
    assert "sesame" not in ended.said + again.said


def test_what_is_certain_to_be_wrong_fails_before_anything_is_read(
    tracked: Settings, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secrets" / "tracking").mkdir(parents=True)
    monkeypatch.setenv(ENV_SECRETS, str(tmp_path / "secrets"))

    without_key = train(tracked)
    monkeypatch.setitem(registry.PACKAGES, "tensorboard", "no_such_package")
    without_package = train(tracked)
    monkeypatch.setitem(registry.PACKAGES, "wandb", "no_such_package")
    tracked["tracking"] = {"wandb": {}}
    without_extra = train(tracked)

    for ended, reason, message in (
        (without_key, "SecretIncomplete", "the Secret of tracking.secretRef has no key for a tracker"),
        (without_package, "TrackerNotInstalled", "tracking.tensorboard needs the package no_such_package"),
        (without_extra, "TrackerNotInstalled", "tracking.wandb needs the package no_such_package"),
    ):
        assert ended.code == ExitCode.BAD_CONFIGURATION
        assert ended.final.failure
        assert (ended.final.failure.reason, ended.final.failure.message[: len(message)]) == (reason, message)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_program_that_is_killed_while_it_sends_goes_on_with_no_step_twice(
    tracked: Settings, server: FakeServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tracked["training"]["epochs"] = 20
    name = request.node.name
    for reached in (20, 80):
        process = start(tracked, tmp_path)
        while max(arrived(server, name), default=0) < reached:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    last = start(tracked, tmp_path)

    assert (last.wait(), last.communicate()[0] is not None) == (0, True)
    run = server.run(name)
    assert set(Counter(server.steps("loss", run)).values()) == {1}
    assert sorted(server.steps("loss", run)) == list(range(1, 241))
    assert scalars(tmp_path / "out")["train/loss"] == list(range(1, 241))


def arrived(server: FakeServer, experiment: str) -> list[int]:
    try:
        return server.steps("loss", server.run(experiment))
    except Exception:  # noqa: BLE001 - there is no such run yet
        return []
