"""The spec that a FineTuneJob runs by: its user's, with what its profile gives."""

from collections.abc import Mapping

from finetune_api.profile import Defaults, Limits, ProfileSettings
from finetune_api.profile_defaults import pod_with_defaults, with_defaults
from finetune_api.quantity import at_most
from finetune_api.v1alpha1 import FineTuneJobSpec, Output, RunPolicy


def effective_spec(spec: FineTuneJobSpec, settings: ProfileSettings, namespace: str, name: str) -> FineTuneJobSpec:
    """Return the spec with what the job leaves out, and changes since its creation held to the limits.

    Raises:
        ValidationError: The output that the profile gives by default is none for this job.
    """
    defaults, limits = settings.defaults, settings.limits
    cpu, memory, output_size = (
        at_most(default, limit)
        for default, limit in (
            (defaults.resources.cpu, limits.cpu),
            (defaults.resources.memory, limits.memory),
            (defaults.output_size, limits.output_size),
        )
    )
    own = spec.resources
    gpus = own.gpus if "gpus" in own.model_fields_set else _lower(own.gpus, limits.gpus)
    return spec.model_copy(
        update={
            "resources": own.model_copy(update={"gpus": gpus, "cpu": own.cpu or cpu, "memory": own.memory or memory}),
            "run_policy": _run_policy(spec.run_policy, defaults, limits),
            "output": _output(spec.output, defaults, output_size, {"{namespace}": namespace, "{name}": name}),
            "notify": with_defaults("notify", spec.notify, defaults.notify),
            "tracking": spec.tracking or defaults.tracking,
            "pod": pod_with_defaults(spec.pod, defaults),
        }
    )


def _run_policy(own: RunPolicy, defaults: Defaults, limits: Limits) -> RunPolicy:
    deadline = own.active_deadline_seconds or defaults.active_deadline_seconds or limits.active_deadline_seconds
    ttl = own.ttl_seconds_after_finished
    return own.model_copy(
        update={
            "backoff_limit": _lower(own.backoff_limit, limits.backoff_limit),
            "active_deadline_seconds": _lower(deadline, limits.active_deadline_seconds) if deadline else None,
            "pre_running_deadline_seconds": own.pre_running_deadline_seconds
            or defaults.pre_running_deadline_seconds
            or None,
            "ttl_seconds_after_finished": defaults.ttl_seconds_after_finished if ttl is None else ttl,
        }
    )


def _lower(value: int, limit: int | None) -> int:
    return value if limit is None else min(value, limit)


def _output(own: Output, defaults: Defaults, size: str | None, placeholders: Mapping[str, str]) -> Output:
    """`size` is that of a volume whose job asks for none."""
    if own.uri is None and defaults.output is None:
        storage_class = defaults.storage_class_name if own.storage_class_name is None else own.storage_class_name
        return own.model_copy(update={"size": own.size or size, "storage_class_name": storage_class})
    fields = own.model_dump(exclude_none=True)
    if own.uri is None and not fields.keys() - {"secret_ref"} and defaults.output is not None:
        uri = defaults.output
        for placeholder, value in placeholders.items():
            uri = uri.replace(placeholder, value)
        fields["uri"] = uri
    if "uri" not in fields:
        storage_class = fields.get("storage_class_name", defaults.storage_class_name)
        fields.update({"size": own.size or size, "storage_class_name": storage_class})
    elif not fields["uri"].startswith("pvc://"):
        fields.setdefault("secret_ref", defaults.secret_ref)
    return Output.model_validate(fields)
