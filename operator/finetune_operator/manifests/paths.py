"""Paths in the trainer's container."""

CONFIG_DIR = "/etc/finetune"
TOKEN_DIR = "/var/run/secrets/finetune.dev"  # noqa: S105 - a path
SECRETS_DIR = "/var/run/secrets/finetune-credentials"
"""Beside the token and not below it: nothing can be mounted into a volume that is read-only."""
RUN_SECRET_DIR = "/var/run/secrets/finetune-run"  # noqa: S105 - a path
SCRATCH_DIR = "/scratch"
TEMPORARY_DIR = "/tmp"  # noqa: S108 - the pod's own emptyDir
SHARED_MEMORY_DIR = "/dev/shm"  # noqa: S108
VOLUMES_DIR = "/mnt/volumes"
CACHE_DIR = "/var/cache/finetune"
TRUST_DIR = "/var/run/finetune-trust"
"""Both where no volume of a user may be mounted."""
TERMINATION_LOG = "/dev/termination-log"
