"""Settings of the operator, from environment variables that begin with FINETUNE_OPERATOR_."""

from importlib.metadata import version
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from finetune_api.profile import SAFE_LIMITS, Limits
from finetune_operator.job.shard import Shard

NamespaceName = Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """Everything that can be set. Times are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="FINETUNE_OPERATOR_", frozen=True, use_attribute_docstrings=True, env_ignore_empty=True
    )

    trainer_image: Annotated[str, Field(min_length=1)] = f"finetune-trainer:{version('finetune-operator')}"
    """Image of the trainer for jobs that name none in pod.image."""
    kueue: bool = False
    """Whether Kueue is asked why a job waits in its queue, and at which place, and the Workload of a job that is suspended is deactivated."""
    network_policy: bool = True
    """Make NetworkPolicies in the namespaces of jobs, by which nobody but the pods of the same job may talk to a job's pods."""
    private_addresses: bool = False
    """Let https:// sources of jobs lead to private, loopback and link-local addresses."""
    default_profile: Literal["safe", "open", "none"] = "safe"
    """The FineTuneProfile `default` that the operator makes where there is none: `safe`, or `open`, which allows everything. With
    `none` it makes none; the safe one holds all the same for jobs that have no other."""
    safe_limits: Limits = SAFE_LIMITS
    """The `limits` of the safe profile, as JSON: what is left out there has no limit. Those of the chart's `safeLimits` if
    it is not set."""
    platform_user: bool = False
    """Leave the user and groups of the jobs' pods to the platform, as OpenShift wants it; 65532 if not."""
    watch_namespaces: Annotated[tuple[NamespaceName, ...], NoDecode] = ()
    """The namespaces to serve, separated by commas; all of them if empty."""
    namespace: str = "default"
    """The operator's own namespace, where the report endpoint's keys are kept."""
    secret_name: str = "finetune-operator-reports"  # noqa: S105 - a name
    """Secret for the keys of the report endpoint, Lease of the operator that leads, and ConfigMap with what namespaces used of GPUs."""
    shard: str = "0/1"
    """`i/n`, from `0/n` on: serve only the namespaces whose hash leaves i when divided by n. Each shard has a Lease and an address of its own."""
    more_report_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """More names for the report endpoint's certificate, separated by commas: of the Services of all shards, which share it."""
    lease_seconds: Annotated[float, Field(ge=3, le=300)] = 10
    """How long the Lease holds without being renewed: after so much another operator takes over from one that is gone."""
    service: str | None = None
    """Service of the report endpoint, whose EndpointSlice the leader writes. Left out, nobody does."""
    pod_name: str = ""
    """The operator's own pod, to which that Service then leads,"""
    pod_uid: str = ""
    """the pod's uid,"""
    pod_ip: str = ""
    """and its address."""

    reports_host: str = "0.0.0.0"
    """Address that the report endpoint listens on."""
    reports_port: Port = 8443
    """Its port; 0 takes a free one."""
    reports_url: Annotated[str, Field(pattern=r"^https://[^/]+$")] | None = None
    """Under which URL pods reach it, without a path. https://127.0.0.1 with the port in use if left out."""
    health_host: str = "0.0.0.0"
    """Address that /healthz and /readyz listen on."""
    health_port: Port = 8080
    """Their port; 0 takes a free one."""
    metrics_host: str = "0.0.0.0"
    """Address that /metrics listens on."""
    metrics_port: Port = 8081
    """Its port; 0 takes a free one."""

    workers: Annotated[int, Field(ge=1, le=256)] = 24
    """Jobs that are worked on at the same time: of one namespace at most half as many, and two thirds for what can wait, such as numbers."""
    kube_qps: Annotated[float, Field(gt=0)] = 300
    """Requests a second to the Kubernetes API in the long run. Where there are more, namespaces are served in turn."""
    kube_burst: Annotated[int, Field(ge=1)] = 600
    """Requests to the Kubernetes API at once."""
    status_interval: Annotated[float, Field(ge=0)] = 2
    """Least time between two writes of what its pods report into one job's status. A new phase is written at once."""
    reports_per_second: Annotated[float, Field(gt=0)] = 70
    """Reports of all pods a second, and status writes of what they bring, beside the requests of `kube_qps`. Where there are more pods, each is asked to report less often, up to every 45 seconds."""
    relist_interval: Annotated[float, Field(ge=1)] = 600
    """Time between two lists, read a page a second, that heal what a watch has missed."""

    log_format: Literal["json", "text"] = "json"
    """One JSON object a line, or text for people."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("shard")
    @classmethod
    def _parse_shard(cls, value: str) -> str:
        Shard.parse(value)
        return value

    @field_validator("watch_namespaces", "more_report_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    def later_workers(self) -> int:
        """How many of the workers may do what can wait at the same time."""
        return max(1, self.workers * 2 // 3)

    def report_hosts(self) -> list[str]:
        """Names that the report endpoint's certificate is good for."""
        named = urlsplit(self.reports_url).hostname if self.reports_url else None
        return [*dict.fromkeys([*([named] if named else []), *self.more_report_hosts]), "localhost", "127.0.0.1"]
