"""Where models, data and tokens are kept: on a volume that the jobs of a namespace share, or on the job's own."""

from collections.abc import Mapping

from finetune_api.base import JsonObject
from finetune_api.profile import ProfileSettings
from finetune_api.report import ENV_CACHE, ENV_DOWNLOADS, ENV_OWN_VOLUME, ENV_RETRIES, ENV_TOKENS
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import LABEL_CACHE, cache_claim_name
from finetune_operator.manifests.metadata import shared_metadata
from finetune_operator.manifests.paths import CACHE_DIR, VOLUMES_DIR

_HANDED_ON = {ENV_DOWNLOADS: ".downloads", ENV_TOKENS: ".tokens"}


def build_cache_claim(namespace: str, settings: ProfileSettings) -> JsonObject | None:
    """The claim that the operator makes, or None where there is no cache, or its claim is there already.

    It belongs to the namespace and to no job. Its name says its size and class, so that profiles that differ in them never meet.
    """
    cache = settings.cache
    if cache is None or cache.size is None:
        return None
    claim: JsonObject = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": cache.size}},
    }
    if cache.storage_class_name is not None:
        claim["storageClassName"] = cache.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": cache_claim_name(cache.size, cache.storage_class_name),
            **shared_metadata(namespace, LABEL_CACHE),
        },
        "spec": claim,
    }


def cache_environment(settings: ProfileSettings) -> list[JsonObject]:
    """What names the cache to the trainer."""
    return [{"name": ENV_CACHE, "value": CACHE_DIR}] if settings.cache else []


def own_volume_environment(
    finetunejob: FineTuneJob, spec: FineTuneJobSpec, claims: Mapping[str, bool]
) -> list[JsonObject]:
    """What names the claim that the operator makes for the output, and where on it the attempts of the job hand on what they have.

    Nothing is handed on there where the jobs of the namespace share a cache. Where the user has a place for the output, all
    that is there is the user's.
    """
    claim = finetunejob.names.claim
    if spec.output.uri or claim not in claims:
        return []
    values = {ENV_OWN_VOLUME: f"{VOLUMES_DIR}/{claim}"}
    if not finetunejob.profile.cache:
        values |= {name: f"{VOLUMES_DIR}/{claim}/{folder}" for name, folder in _HANDED_ON.items()}
        values[ENV_RETRIES] = str(spec.run_policy.backoff_limit)
    return [{"name": name, "value": value} for name, value in values.items()]


def cache_mounts(settings: ProfileSettings) -> list[JsonObject]:
    """Where the container sees it."""
    return [{"name": "cache", "mountPath": CACHE_DIR}] if settings.cache else []


def cache_volumes(settings: ProfileSettings) -> list[JsonObject]:
    """The volume for `cache_mounts`."""
    cache = settings.cache
    if cache is None:
        return []
    name = cache.claim_name or cache_claim_name(cache.size or "", cache.storage_class_name)
    return [{"name": "cache", "persistentVolumeClaim": {"claimName": name}}]
