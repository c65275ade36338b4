"""What the process does before it serves."""

import subprocess
import sys

_PROGRAM = """
import resource
from finetune_operator.__main__ import raise_descriptor_limit
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
raise_descriptor_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most))
"""


def test_file_descriptors_are_raised_to_the_hard_limit() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)

    assert done.stdout == "True\n"
