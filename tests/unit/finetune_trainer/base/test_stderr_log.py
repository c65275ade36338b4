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

NOT_WRITTEN_BY_A_LIBRARY = """
import logging
from finetune_trainer.base.stderr_log import log_to_stderr

log_to_stderr()
logging.warning("by the root")
handler = logging.StreamHandler()
handler.setLevel(logging.ERROR)
logging.getLogger("a_library").addHandler(handler)
logging.getLogger("a_library.its_module").warning("a warning")
logging.getLogger("a_library.its_module").error("an error")
logging.getLogger("another.its_module").addHandler(logging.StreamHandler())
logging.getLogger("another.its_module.part").warning("of a module with a handler")
logging.getLogger("another").warning("of the package without")
"""


def test_what_a_library_writes_to_stderr_itself_is_not_written_twice() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)

    assert done.stderr.splitlines() == ["from the library", "from another", "from us"]


def test_what_no_library_writes_itself_is_written() -> None:
    """What the root logger is given, and what is below the level of a library's own handler."""
    done = subprocess.run([sys.executable, "-c", NOT_WRITTEN_BY_A_LIBRARY], check=True, capture_output=True, text=True)

    assert done.stderr.splitlines() == [
        "by the root",
        "a warning",
        "an error",
        "of a module with a handler",
        "of the package without",
    ]
