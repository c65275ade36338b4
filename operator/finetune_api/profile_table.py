"""What a FineTuneProfile allows a job: a row for each field that a job may name, with the list or limit that rules it."""

from collections.abc import Callable, Iterator
from typing import Final

from finetune_api.notify import host_of
from finetune_api.pod import EnvVar, LocalReference, PodSettings
from finetune_api.profile import FineTuneProfileSpec
from finetune_api.profile_rules import NAMESPACES, ProfileRule, Request, allowed, at_most
from finetune_api.scheduling import NodeSelectorTerm
from finetune_api.v1alpha1 import FineTuneJobSpec, Resources, RunPolicy


def _model_uri(source: str) -> str:
    """A model's source as `allow.sources` writes it: one on the Hub begins with hf://."""
    return source if "://" in source else f"hf://{source}"


def _dataset_uri(source: str) -> str:
    """A data set's, which may say on the Hub that it is one."""
    return _model_uri(source.removeprefix("hf://datasets/"))


_MODEL_URI = (
    "(object.spec.model.source.contains('://') ? object.spec.model.source : 'hf://' + object.spec.model.source)"
)
_DATASET_URI = (
    "(object.spec.dataset.source.startsWith('hf://datasets/') ? 'hf://' + object.spec.dataset.source.substring(14)"
    " : object.spec.dataset.source.contains('://') ? object.spec.dataset.source : 'hf://' + object.spec.dataset.source)"
)


def _references(
    kind: str, of: Callable[[EnvVar], str | None]
) -> tuple[Callable[[FineTuneJobSpec], list[str | None]], str]:
    """The names that pod.env takes values from, in Python and in CEL."""
    field = f"each.valueFrom.{kind}"
    cel = f"object.spec.?pod.?env.orValue([]).filter(each, has(each.valueFrom) && has({field})).map(each, {field}.name)"
    return lambda spec: [of(each) for each in spec.pod.env], cel


def _secret_of(variable: EnvVar) -> str | None:
    source = variable.value_from
    return source.secret_key_ref.name if source and source.secret_key_ref else None


def _config_map_of(variable: EnvVar) -> str | None:
    source = variable.value_from
    return source.config_map_key_ref.name if source and source.config_map_key_ref else None


def _if_written(section: Resources | RunPolicy, field: str) -> int | None:
    """A number that the job itself has; None where it leaves it to the default, which is lowered to the limit."""
    return getattr(section, field) if field in section.model_fields_set else None


def _name(reference: LocalReference | None) -> str | None:
    return reference.name if reference else None


def _volumes(kind: str, name: str) -> str:
    """CEL for the names in the volumes of one kind."""
    return f"object.spec.?pod.?volumes.orValue([]).filter(each, has(each.{kind})).map(each, each.{kind}.{name})"


_VOLUME_KIND: Final = (
    "has(each.configMap) ? 'configMap' : has(each.secret) ? 'secret' : has(each.image) ? 'image'"
    " : has(each.emptyDir) ? 'emptyDir' : 'persistentVolumeClaim'"
)


def _volume_kinds(spec: FineTuneJobSpec) -> list[str]:
    return [next(iter(each.to_wire().keys() - {"name"})) for each in spec.pod.volumes]


def _affinity(part: str, terms: str) -> str:
    """CEL for the keys in the terms of a node affinity, as one list: keys hold no space."""
    path = f"object.spec.?pod.?affinity.?nodeAffinity.?{part}"
    return f"{path}{terms}.join(' ').split(' ').filter(key, key != '')"


_KEYS_OF_TERM: Final = "matchExpressions.map(one, one.key).join(' ')"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"


def _required_keys(spec: FineTuneJobSpec) -> list[str]:
    affinity = spec.pod.affinity and spec.pod.affinity.node_affinity
    required = affinity and affinity.required_during_scheduling_ignored_during_execution
    return _keys_of(required.node_selector_terms if required else [])


def _preferred_keys(spec: FineTuneJobSpec) -> list[str]:
    affinity = spec.pod.affinity and spec.pod.affinity.node_affinity
    preferred = affinity.preferred_during_scheduling_ignored_during_execution if affinity else []
    return _keys_of([each.preference for each in preferred])


def _keys_of(terms: list[NodeSelectorTerm]) -> list[str]:
    return [one.key for term in terms for one in term.match_expressions]


def _names_users(pod: PodSettings) -> bool:
    return pod.security_context is not None and any(pod.security_context.to_wire().values())


_USERS: Final = ProfileRule(
    holds="params.spec.?allow.?securityContext.orValue(false) || !object.spec.?pod.?securityContext.hasValue()"
    " || (!has(object.spec.pod.securityContext.runAsUser) && !has(object.spec.pod.securityContext.runAsGroup)"
    " && !has(object.spec.pod.securityContext.fsGroup)"
    " && size(object.spec.pod.securityContext.?supplementalGroups.orValue([])) == 0)",
    wording="'spec.pod.securityContext names users or groups, which is not allowed; allow.securityContext is false'",
    problem=lambda request, profile: (
        "spec.pod.securityContext names users or groups, which is not allowed; allow.securityContext is false"
        if _names_users(request.spec.pod) and not profile.allow.security_context
        else None
    ),
)


def _pod(field: str) -> str:
    return f"[?object.spec.?pod.?{field}]"


def _each(field: str, value: str) -> str:
    return f"object.spec.?pod.?{field}.orValue([]).map(each, {value})"


def _keys(field: str) -> str:
    return f"object.spec.?pod.?{field}.orValue({{}}).map(key, key)"


_NOTIFY: Final = "object.spec.?notify"


def _notify_hosts(spec: FineTuneJobSpec, scheme: str = "") -> list[str]:
    """Hosts of the URLs in spec.notify that begin so. One in a Secret is looked at when it is read."""
    urls = [each.webhook.url for each in spec.notify if each.webhook and each.webhook.url]
    return [host_of(url) for url in urls if url.startswith(scheme)]


def _hosts_in_cel(scheme: str = "") -> str:
    urls = "object.spec.?notify.orValue([]).filter(each, has(each.webhook) && has(each.webhook.url)"
    begins = f" && each.webhook.url.startsWith('{scheme}')" if scheme else ""
    return f"{urls}{begins}).map(each, each.webhook.url.split('/')[2].split(':')[0])"


PROFILE_RULES: Final[tuple[ProfileRule, ...]] = (
    NAMESPACES,
    allowed("images", "spec.pod.image", lambda spec: [spec.pod.image], _pod("image")),
    allowed(
        "serviceAccounts",
        "spec.pod.serviceAccountName",
        lambda spec: [spec.pod.service_account_name],
        _pod("serviceAccountName"),
    ),
    allowed(
        "priorityClasses",
        "spec.pod.priorityClassName",
        lambda spec: [spec.pod.priority_class_name],
        _pod("priorityClassName"),
    ),
    allowed(
        "secrets",
        "spec.model.secretRef.name",
        lambda spec: [_name(spec.model.secret_ref)],
        "[?object.spec.model.?secretRef.?name]",
    ),
    allowed(
        "secrets",
        "spec.dataset.secretRef.name",
        lambda spec: [_name(spec.dataset.secret_ref)],
        "[?object.spec.dataset.?secretRef.?name]",
    ),
    allowed(
        "secrets",
        "spec.output.secretRef.name",
        lambda spec: [_name(spec.output.secret_ref)],
        "[?object.spec.?output.?secretRef.?name]",
    ),
    allowed(
        "secrets",
        "spec.tracking.secretRef.name",
        lambda spec: [_name(spec.tracking.secret_ref) if spec.tracking else None],
        "[?object.spec.?tracking.?secretRef.?name]",
    ),
    allowed(
        "secrets",
        "spec.pod.imagePullSecrets[].name",
        lambda spec: [each.name for each in spec.pod.image_pull_secrets],
        _each("imagePullSecrets", "each.name"),
    ),
    allowed("secrets", "spec.pod.env[].valueFrom.secretKeyRef.name", *_references("secretKeyRef", _secret_of)),
    allowed(
        "secrets",
        "spec.pod.volumes[].secret.secretName",
        lambda spec: [each.secret.secret_name for each in spec.pod.volumes if each.secret],
        _volumes("secret", "secretName"),
    ),
    allowed(
        "configMaps",
        "spec.pod.volumes[].configMap.name",
        lambda spec: [each.config_map.name for each in spec.pod.volumes if each.config_map],
        _volumes("configMap", "name"),
    ),
    allowed(
        "images",
        "spec.pod.volumes[].image.reference",
        lambda spec: [each.image.reference for each in spec.pod.volumes if each.image],
        _volumes("image", "reference"),
    ),
    allowed(
        "claims",
        "spec.pod.volumes[].persistentVolumeClaim.claimName",
        lambda spec: [
            each.persistent_volume_claim.claim_name for each in spec.pod.volumes if each.persistent_volume_claim
        ],
        _volumes("persistentVolumeClaim", "claimName"),
    ),
    allowed("volumes", "spec.pod.volumes", _volume_kinds, _each("volumes", _VOLUME_KIND)),
    allowed(
        "accelerators",
        "spec.pod.accelerator.resource",
        lambda spec: [spec.pod.accelerator.resource if spec.pod.accelerator else None],
        _pod("accelerator.?resource"),
    ),
    allowed(
        "resourceClaimTemplates",
        "spec.pod.accelerator.resourceClaimTemplateName",
        lambda spec: [spec.pod.accelerator.resource_claim_template_name if spec.pod.accelerator else None],
        _pod("accelerator.?resourceClaimTemplateName"),
    ),
    allowed(
        "runtimeClasses",
        "spec.pod.runtimeClassName",
        lambda spec: [spec.pod.runtime_class_name],
        _pod("runtimeClassName"),
    ),
    allowed("schedulers", "spec.pod.schedulerName", lambda spec: [spec.pod.scheduler_name], _pod("schedulerName")),
    _USERS,
    allowed(
        "configMaps", "spec.pod.env[].valueFrom.configMapKeyRef.name", *_references("configMapKeyRef", _config_map_of)
    ),
    allowed("env", "spec.pod.env[].name", lambda spec: [each.name for each in spec.pod.env], _each("env", "each.name")),
    allowed("sources", "spec.model.source", lambda spec: [_model_uri(spec.model.source)], f"[{_MODEL_URI}]"),
    allowed("sources", "spec.dataset.source", lambda spec: [_dataset_uri(spec.dataset.source)], f"[{_DATASET_URI}]"),
    allowed(
        "trackers",
        "spec.tracking.mlflow.uri",
        lambda spec: [spec.tracking.mlflow.uri if spec.tracking and spec.tracking.mlflow else None],
        "[?object.spec.?tracking.?mlflow.?uri]",
    ),
    allowed(
        "trackers",
        "spec.tracking.trackio.uri",
        lambda spec: [spec.tracking.trackio.uri if spec.tracking and spec.tracking.trackio else None],
        "[?object.spec.?tracking.?trackio.?uri]",
    ),
    allowed("outputs", "spec.output.uri", lambda spec: [spec.output.uri], "[?object.spec.?output.?uri]"),
    allowed(
        "tolerations",
        "spec.pod.tolerations[].key",
        lambda spec: [each.key or "*" for each in spec.pod.tolerations],
        _each("tolerations", "each.?key.orValue('') == '' ? '*' : each.key"),
    ),
    allowed("nodeSelectorKeys", "spec.pod.nodeSelector", lambda spec: spec.pod.node_selector, _keys("nodeSelector")),
    allowed(
        "nodeSelectorKeys",
        f"spec.pod.affinity.nodeAffinity.{_REQUIRED}",
        _required_keys,
        _affinity(_REQUIRED, f".?nodeSelectorTerms.orValue([]).map(term, term.{_KEYS_OF_TERM})"),
    ),
    allowed(
        "nodeSelectorKeys",
        f"spec.pod.affinity.nodeAffinity.{_PREFERRED}",
        _preferred_keys,
        _affinity(_PREFERRED, f".orValue([]).map(term, term.preference.{_KEYS_OF_TERM})"),
    ),
    allowed("labels", "spec.pod.labels", lambda spec: spec.pod.labels, _keys("labels")),
    allowed("annotations", "spec.pod.annotations", lambda spec: spec.pod.annotations, _keys("annotations")),
    allowed("notifyHosts", "spec.notify[].webhook.url", _notify_hosts, _hosts_in_cel(), changeable=_NOTIFY),
    allowed(
        "notifyPrivateHosts",
        "spec.notify[].webhook.url by http",
        lambda spec: _notify_hosts(spec, "http:"),
        _hosts_in_cel("http:"),
        changeable=_NOTIFY,
    ),
    at_most("gpus", "spec.resources.gpus", lambda spec: _if_written(spec.resources, "gpus")),
    at_most("nodes", "spec.resources.nodes", lambda spec: spec.resources.nodes),
    at_most("cpu", "spec.resources.cpu", lambda spec: spec.resources.cpu),
    at_most("memory", "spec.resources.memory", lambda spec: spec.resources.memory),
    at_most("outputSize", "spec.output.size", lambda spec: spec.output.size),
    at_most(
        "activeDeadlineSeconds",
        "spec.runPolicy.activeDeadlineSeconds",
        lambda spec: spec.run_policy.active_deadline_seconds,
        changeable=True,
    ),
    at_most(
        "backoffLimit",
        "spec.runPolicy.backoffLimit",
        lambda spec: _if_written(spec.run_policy, "backoff_limit"),
        changeable=True,
    ),
)


def violation(request: Request, profile: FineTuneProfileSpec) -> str | None:
    """Return how a job breaks the rules of its profile, in the admission policy's words; None if it keeps to all of them."""
    return next(violations(request, profile), None)


def violations(request: Request, profile: FineTuneProfileSpec) -> Iterator[str]:
    """Yield each way in which a job breaks the rules of its profile."""
    problems = (rule.problem(request, profile) for rule in PROFILE_RULES)
    yield from (f"profile {request.profile}: {problem}" for problem in problems if problem)
