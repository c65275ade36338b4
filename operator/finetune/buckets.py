"""Reads of buckets, by the user's own credentials: what goes wrong is one of our errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from finetune.errors import FineTuneError, NotAllowed, NotFound


@contextmanager
def bucket_failures(uri: str) -> Iterator[None]:
    """Raise what the library of a kind of bucket raises as an error of ours; each has exceptions of its own.

    Raises:
        NotFound, NotAllowed, FineTuneError: Naming `uri`.
    """
    try:
        yield
    except FineTuneError:
        raise
    except FileNotFoundError as error:
        raise NotFound(f"{uri} is not there: {error}") from error
    except PermissionError as error:
        raise NotAllowed(f"{uri} is not for you to read: {error}") from error
    except Exception as error:
        raise FineTuneError(f"{uri} cannot be read: {error}") from error
