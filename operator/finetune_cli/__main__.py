"""`python -m finetune_cli`, `finetune` and `kubectl finetune`."""

from finetune_cli.app import main

if __name__ == "__main__":
    main()
