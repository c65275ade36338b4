"""Exit codes, and which error ends in which."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from typer import Context, Exit
from typer.core import TyperGroup

from finetune.client import Job
from finetune.errors import FineTuneError, JobFailed, NoCluster, NotAllowed, NotFound, NotKnown, Refused, TimedOut
from finetune_cli.output import error_console


class ExitCode(IntEnum):
    """How the program ends, for scripts."""

    SUCCEEDED = 0
    """What was asked for is done; of a job that was waited for: it succeeded."""
    FAILED = 1
    """The job failed, with its reason on stderr; or something else did not work."""
    USAGE = 2
    """The command line, the manifest or the change is not as it must be."""
    NOT_FOUND = 3
    """There is no such job or file."""
    NOT_ALLOWED = 4
    """The user of the kubeconfig may not do this, or the cluster does not take the credentials."""
    NO_CLUSTER = 5
    """There is no kubeconfig, or the API server does not answer."""
    TIMED_OUT = 124
    """The job has not ended within --timeout. It goes on."""
    INTERRUPTED = 130
    """Ctrl-C. A job that was waited for goes on, as the last line says."""


_CODES: tuple[tuple[type[FineTuneError], ExitCode], ...] = (
    (JobFailed, ExitCode.FAILED),
    (Refused, ExitCode.USAGE),
    (NotFound, ExitCode.NOT_FOUND),
    (NotAllowed, ExitCode.NOT_ALLOWED),
    (NotKnown, ExitCode.NOT_ALLOWED),
    (NoCluster, ExitCode.NO_CLUSTER),
    (TimedOut, ExitCode.TIMED_OUT),
)


def exit_code(error: FineTuneError) -> ExitCode:
    """Return how the program ends on an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILED)


class Group(TyperGroup):
    """The commands, each error of which ends in one line on stderr and its exit code."""

    def invoke(self, ctx: Context) -> Any:  # type: ignore[override]
        """Run the command."""
        try:
            return super().invoke(ctx)
        except FineTuneError as error:
            error_console().print(str(error), style="red" if isinstance(error, JobFailed) else "")
            raise Exit(exit_code(error)) from None
        except KeyboardInterrupt as interrupt:
            error_console().print(" ".join(("interrupted:", *map(str, interrupt.args))).rstrip(":"))
            raise Exit(ExitCode.INTERRUPTED) from None


@contextmanager
def goes_on(job: Job) -> Iterator[None]:
    """While a job is waited for: whoever interrupts this, or may see no more of it, is told that the job goes on."""
    try:
        yield
    except (NotAllowed, NotKnown, NoCluster) as error:
        raise error if job.snapshot.ended else type(error)(f"{error}; {job.name} goes on all the same") from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{job.name} goes on; `finetune watch {job.name}` shows how") from None
