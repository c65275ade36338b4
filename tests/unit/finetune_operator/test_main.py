"""What the process does before it serves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import resource, sys
sys.modules["kubernetes_validate"] = None  # as `python -m finetune_operator` does
from finetune_operator.__main__ import raise_descriptor_limit
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
raise_descriptor_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most))
"""


@pytest.mark.slow
def test_file_descriptors_are_raised_to_the_hard_limit() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)

    assert done.stdout == "True\n"


_START = """
import runpy, sys
sys.argv = ["finetune_operator"]
try:
    runpy.run_module("finetune_operator", run_name="__main__")
except SystemExit as end:
    code = end.code
models = [name for name in sys.modules if name.startswith("kubernetes.aio.client.models.")]
dear = [name for name in ("jsonschema", "lark", "numpy", "torch", "kubernetes.aio.client.models.v1_pod") if name in sys.modules]
print(code, dear, len(models) < 40)
"""


@pytest.mark.slow
def test_a_start_imports_none_of_what_takes_long_and_is_not_used(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "FINETUNE_OPERATOR_REPORTS_URL": "no URL"}

    done = subprocess.run([sys.executable, "-c", _START], capture_output=True, text=True, check=True, env=environment)

    assert done.stdout == "2 [] True\n"
