"""What can go wrong between a person and the cluster. Each message is text that a terminal can show as it is."""

from finetune_api.printable import printable


class FineTuneError(Exception):
    """Any failure of this package. Its text says what happened, and what to do about it where that is known."""

    def __init__(self, message: str) -> None:
        """Keep `message`, made printable: much of it comes from a server or a pod."""
        super().__init__(printable(message, lines=True))


class NotFound(FineTuneError):
    """There is no such job, namespace or file in the cluster, or the job was deleted meanwhile."""

    def __init__(self, message: str, place: tuple[str, str] | None = None) -> None:
        """With namespace and name as `place`, where that is what no job has."""
        super().__init__(message)
        self.place = place


def made_anew(name: str) -> NotFound:
    """Return the error for a job in place of which another is there, under the same name."""
    return NotFound(f"{name} was deleted, and another made under its name")


class NotAllowed(FineTuneError):
    """The user of the kubeconfig may not do this."""


class NotKnown(FineTuneError):
    """The cluster does not take the credentials, or they have expired: whatever is asked, the answer is the same. It tells of no right that is missing."""


class NoCluster(FineTuneError):
    """There is no kubeconfig, or the API server that it names does not answer."""


class Refused(FineTuneError):
    """The manifest, or a change of the job, is not as it must be; in the words of the API server where it says so."""


class AlreadyThere(Refused):
    """A job of that name is there."""


class TimedOut(FineTuneError):
    """The job has not ended in time. It goes on."""


class JobFailed(FineTuneError):
    """The job ended as Failed. The text is its reason, message and hint."""
