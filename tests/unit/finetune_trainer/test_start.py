"""What the trainer has imported when it begins."""

import json
import subprocess
import sys

LIBRARIES = ("datasets", "evaluate", "huggingface_hub", "torch", "transformers")


def test_libraries_that_read_the_environment_come_once_the_run_has_set_it() -> None:
    program = (
        "import json, sys, finetune_trainer.__main__, finetune_trainer.storage.shared_cache;"
        f"print(json.dumps([name for name in {LIBRARIES!r} if name in sys.modules]))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert json.loads(done.stdout) == []
