"""What the operator, and not the user, decides about a pod."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PodDefaults:
    """The operator's own settings for the pods that it makes."""

    image: str
    """Image of the trainer where the user names none."""
    reports_url: str
    """Base of the report endpoint, such as https://finetune-operator.finetune-system.svc:8443."""
    ca: str
    """PEM bundle that the endpoint's certificate verifies against."""
    network_policy: bool = True
    """Whether each job gets a NetworkPolicy that lets nobody but its own pods talk to them."""
    private_addresses: bool = False
    """Whether https:// sources may lead to private addresses."""
    platform_user: bool = False
    """Whether the platform chooses user and groups, as OpenShift's restricted-v2 does, which refuses pods that name one."""
