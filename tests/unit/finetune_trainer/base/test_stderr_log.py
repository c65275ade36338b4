"""Each line that is logged comes once, also of a library that has a handler of its own."""

import subprocess
import sys

PROGRAM = """
import logging
from finetune_trainer.base.stderr_log import log_to_stderr

log_to_stderr()
library = logging.getLogger("a_library")
library.addHandler(logging.StreamHandler())
logging.getLogger("a_library.its_module").warning("from the library")
logging.getLogger("a_library_of_few_words").warning("from another")
logging.getLogger("__main__").warning("from us")
"""


def test_what_a_library_writes_to_stderr_itself_is_not_written_twice() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)

    assert done.stderr.splitlines() == ["from the library", "from another", "from us"]
