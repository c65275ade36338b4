"""`--fast`, by which `make test-fast` leaves out what makes one wait, by one rule:

- a test that imports PyTorch, or another library that takes long to import and that few need,
- a test of an S3 server,
- a test that is marked `thorough`: it takes a quarter of a second of a core or more, as one that starts a Python does.

Properties are tried with a tenth of their examples. `make test` leaves nothing of this out.
"""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from types import ModuleType

import pytest

_SLOW_TO_IMPORT = frozenset(
    {"gcsfs", "moto", "rouge_score", "sacrebleu", "scipy", "sklearn", "torch", "transformers", "trl"}
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="leave out what imports PyTorch or is marked `thorough`")


@pytest.hookimpl(trylast=True)  # after hypothesis has taken its profile from the command line
def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--fast"):
        return
    sys.meta_path.insert(0, _SkipsSlowImports())
    if find_spec("hypothesis"):
        from hypothesis import settings

        profile = settings()
        settings.register_profile("fast", profile, max_examples=max(1, profile.max_examples // 10))
        settings.load_profile("fast")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--fast"):
        left = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]


class _SkipsSlowImports:
    """Finds no module, and skips the test, or all tests of a file, that look for one of these libraries."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        if name in _SLOW_TO_IMPORT:
            pytest.skip(f"imports {name}, which make test-fast leaves out", allow_module_level=True)
