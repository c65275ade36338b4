"""The plugins and the environment of the whole suite, whose workers run side by side."""

import gc
import logging
import os
import resource
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from finetune_trainer.base.redaction import redact

if TYPE_CHECKING:
    from tests.s3_server import S3

    from devcluster.cluster import Options

# As `storage.place` sets it before gcsfs is imported, which some test does earlier.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

# Read when the libraries are imported, which the first conftest of a folder may do. Nothing here may look at the Hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
# A model this small is slower on many threads, most of all where other tests want the cores too.
os.environ["OMP_NUM_THREADS"] = "1"

# Each worker has caches of its own, and none of the user's.
_hf_home = tempfile.TemporaryDirectory(prefix="finetune-tests-")
os.environ["HF_HOME"] = _hf_home.name

# The environment of the Keras tests has no dev cluster; the folder of that name is found as a package all the same.
pytest_plugins = ["tests.fast", *(["devcluster.testing.plugin"] if find_spec("devcluster.testing") else [])]

_HANDLERS = pytest.StashKey[dict[int, Any]]()


def pytest_configure(config: pytest.Config) -> None:
    # A suite that a script runs in the background ignores Ctrl-C, and so would the programs that tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_HANDLERS] = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported for the tests is no garbage: in a process with all of PyTorch's it would be looked through again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture
def left_as_found() -> Iterator[None]:
    """Fails a test that leaves its worker in another folder, under other limits or with signals blocked: a later one would be blamed for it."""
    before = _process()
    yield
    assert _process() == before


def _process() -> dict[str, Any]:
    limits = (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
    return {
        "folder": os.getcwd(),  # noqa: PTH109 # in a microsecond
        "limits": [resource.getrlimit(each) for each in limits],
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, []),
    }


@pytest.fixture(autouse=True)
def forgotten_secrets(left_as_found: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a secret in one test, such as "secret", is an ordinary word in the next one of the same process."""
    for name in ("_known", "_heads", "_public"):
        monkeypatch.setattr(redact, name, getattr(redact, name))


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """What a trainer in this process sets for its libraries is gone when the test ends. No other variable is away meanwhile."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


@pytest.fixture(autouse=True)
def own_signals(pytestconfig: pytest.Config) -> None:
    """A trainer that has run in this process ignores signals from then on. The next test gets them as a new process does."""
    for number, handler in pytestconfig.stash[_HANDLERS].items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def unguarded_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer in this process logs what ends a thread or the program, and nothing else would ever hear of it: it does so in its own test alone."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


@pytest.fixture(scope="session")
def cluster_options() -> "Options":
    """Those of the plugin, and an image whose trainer does all but train."""
    # Which the environment of the Keras tests has not.
    from tests.integration.fixtures import STAND_IN, STAND_IN_FOLDER

    from devcluster.testing.plugin import OPTIONS

    return replace(OPTIONS, python_paths={STAND_IN: STAND_IN_FOLDER})


@pytest.fixture(scope="session")
def s3_server() -> Iterator["S3"]:
    """The one S3 server of a worker: moto holds its buckets and users once in a process, however many servers run."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from tests.s3_server import start  # with moto, which the environment of the Keras tests has not

    s3, server = start()
    yield s3
    s3.proxy.shutdown()
    server.stop()
