"""`python -m finetune_cli`, `finetune` and `kubectl finetune`."""

import sys

from finetune_cli import app


def main() -> None:
    """Run the command line in a process of its own."""
    # The Kubernetes client imports it where it is there, for checks that nobody asks for here: more CPU than all the rest of a start.
    sys.modules["kubernetes_validate"] = None  # type: ignore[assignment]
    app.main()


if __name__ == "__main__":
    main()
