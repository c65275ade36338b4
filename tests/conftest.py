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
pytest_plugins = [
    "tests.extras",
    "tests.fast",
    "tests.authorities",
    *(["devcluster.testing.plugin"] if find_spec("devcluster.testing") else []),
]

_HANDLERS: dict[int, Any] = {}
"""How a test gets the signals that end a program."""
_OF_PYTEST = b"PYTEST_CURRENT_TEST"
"""Which pytest changes between the phases of each test."""
_SECRETS = ("_known", "_heads", "_public")


def pytest_configure(config: pytest.Config) -> None:
    # A suite that a script runs in the background ignores Ctrl-C, and so would the programs that tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _HANDLERS.update({number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)})


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


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """A test begins as in a new process, whatever ran before in its worker: one fixture, which thousands of tests have.

    - What a trainer in this process sets for its libraries is gone when the test ends. No other variable is away meanwhile.
    - What is a secret in one test, such as "secret", is an ordinary word in the next one.
    - A trainer that has run here ignores signals from then on. The next test gets them.
    - A trainer in this process logs what ends a thread or the program, and nothing else would ever hear of it: in its own test alone.
    - A test that leaves its worker in another folder, under other limits or with signals blocked fails: a later one would be blamed for it.
    """
    for number, handler in _HANDLERS.items():
        signal.signal(number, handler)
    environment = _environment()
    secrets = {name: getattr(redact, name) for name in _SECRETS}
    hooks = threading.excepthook, sys.excepthook
    before = _process()
    yield
    threading.excepthook, sys.excepthook = hooks
    for name, known in secrets.items():
        setattr(redact, name, known)
    if _environment() != environment:
        _restore({os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()})
    assert _process() == before


def _environment() -> dict[bytes, bytes]:
    """Without pytest's own variable, and without decoding each, which takes longer than many a test."""
    environment: dict[bytes, bytes] = os.environ._data.copy()  # type: ignore[attr-defined]
    environment.pop(_OF_PYTEST, None)
    return environment


def _restore(environment: dict[str, str]) -> None:
    for name in os.environ.keys() - environment.keys() - {_OF_PYTEST.decode()}:
        del os.environ[name]
    os.environ.update({name: value for name, value in environment.items() if os.environ.get(name) != value})


def _process() -> tuple[Any, ...]:
    """Folder, limits and blocked signals."""
    limits = (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
    return (
        os.getcwd(),  # noqa: PTH109 # in a microsecond
        [resource.getrlimit(each) for each in limits],
        signal.pthread_sigmask(signal.SIG_BLOCK, []),
    )


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
