"""Who is told that a run has ended: `spec.notify`, and where a profile lets that go."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field

from finetune_api.base import ApiModel
from finetune_api.rules import Rule, enforce, validations
from finetune_api.text import Pattern, Text

SECRET: Final = "finetune-notify"  # noqa: S105 - a name
"""The one Secret of a job's namespace that is read for notifications, so that the operator needs a right on no other."""
MAX_TARGETS: Final = 4

# As little as a URL can be: what has no case, credentials, fragment or second form is the same to whoever reads it.
URL_PATTERN: Final = r"^https?://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[!$-~]*)?$"
NotifyUrl: TypeAlias = Annotated[
    str,
    Text(
        pattern=URL_PATTERN,
        message="must be https://host/path, in ASCII, the host in small letters, without credentials and without #",
        max_length=512,
    ),
]
SecretKey: TypeAlias = Annotated[str, Field(min_length=1, max_length=253), Pattern(r"^[-._a-zA-Z0-9]+$")]
_ONE_URL: Rule["Webhook"] = Rule(
    cel="has(self.url) != has(self.urlSecretKey)",
    holds=lambda self: (self.url is None) != (self.url_secret_key is None),
    message="needs exactly one of url and urlSecretKey",
)


class Webhook(ApiModel):
    """An HTTP server that takes CloudEvents, signed as Standard Webhooks are."""

    rules = (_ONE_URL,)

    url: NotifyUrl | None = None
    """Where it is. By http:// only where the profile says so."""
    url_secret_key: SecretKey | None = None
    """Key of the Secret finetune-notify with the URL, where who knows it may send."""
    signing_secret_key: SecretKey = "signing-key"  # noqa: S105 - a name
    """Key of the Secret finetune-notify with what the event is signed by: whsec_ and at least 24 random bytes in base64. Two of them, with a space between, sign both."""


class Slack(ApiModel):
    """An incoming webhook of Slack, or of what takes the same, such as Mattermost."""

    url_secret_key: SecretKey = "slack-url"  # noqa: S105 - a name
    """Key of the Secret finetune-notify with its URL: who knows it may send."""


_ONE_TARGET: Rule["NotifyTarget"] = Rule(
    cel="has(self.webhook) != has(self.slack)",
    holds=lambda self: (self.webhook is None) != (self.slack is None),
    message="needs exactly one of webhook and slack",
)


class NotifyTarget(ApiModel):
    """Who is told: exactly one of webhook and slack."""

    rules = (_ONE_TARGET,)

    name: Annotated[str, Field(min_length=1, max_length=50), Pattern(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """Its name in status.notifications."""
    phases: Annotated[list[Literal["Succeeded", "Failed"]], Field(min_length=1, max_length=2)] = ["Succeeded", "Failed"]
    """The ends that it is told of."""
    webhook: Webhook | None = None
    """A server that takes CloudEvents."""
    slack: Slack | None = None
    """A channel of Slack."""


_NAMES_DIFFER: Final = Rule[list[NotifyTarget]](
    cel="self.all(one, self.exists_one(other, other.name == one.name))",
    holds=lambda targets: len({target.name for target in targets}) == len(targets),
    message="must have different names",
)
NotifyTargets: TypeAlias = Annotated[
    list[NotifyTarget],
    Field(max_length=MAX_TARGETS, json_schema_extra=validations(_NAMES_DIFFER)),
    AfterValidator(lambda targets: enforce(targets, _NAMES_DIFFER)),
]


def host_of(url: str) -> str:
    """The host of a URL that matches URL_PATTERN."""
    return url.split("/")[2].split(":")[0]
