"""`python -m finetune_operator`: the operator as a process."""

import argparse
import logging
import resource
import sys
from typing import Any

if __name__ == "__main__":
    # The client imports it where it is there, for checks that nobody asks for here: more CPU than all the rest of a start.
    sys.modules["kubernetes_validate"] = None  # type: ignore[assignment]

import uvloop
from kubernetes.aio.config import ConfigException
from pydantic import ValidationError

from finetune_operator import app, logging_setup
from finetune_operator.settings import Settings

logger = logging.getLogger("finetune_operator")


def raise_descriptor_limit() -> None:
    """Take as many file descriptors as the system allows: the soft limit is often 1,024, and each connection takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _arguments() -> dict[str, Any]:
    """What the command line sets, which wins over the environment."""
    parser = argparse.ArgumentParser(prog="finetune_operator", description="Serve FineTuneJobs.")
    parser.add_argument("--shard", metavar="i/n", help="serve one of n parts of the namespaces, from 0/n on")
    return {name: value for name, value in vars(parser.parse_args()).items() if value is not None}


def main() -> int:
    """Run until SIGTERM or SIGINT. Return the exit code."""
    try:
        settings = Settings(**_arguments())
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            name = "_".join(["FINETUNE_OPERATOR", *map(str, problem["loc"])]).upper()
            sys.stderr.write(f"error: {name}: {problem['msg']}\n")
        return 2
    logging_setup.set_up(settings.log_format, settings.log_level)
    raise_descriptor_limit()
    try:
        uvloop.run(app.run(settings))
    except ConfigException as error:
        logger.error("no way into a cluster, neither by a service account nor by a kubeconfig: %s", error)
        return 2
    except OSError as error:
        logger.error("cannot listen: %s", error)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
