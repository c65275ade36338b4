"""What a run was made of: revisions, fingerprints and versions, so that it can be made again."""

import platform

from finetune_api.run import RunConfig
from finetune_api.status import Provenance
from finetune_trainer.base.hardware import version_of
from finetune_trainer.engines.registry import ENGINES
from finetune_trainer.models.pretrained import Pretrained
from finetune_trainer.storage.uris import is_hub_id
from finetune_trainer.tasks.registry import TASKS

_LIBRARIES = ("torch", "transformers", "datasets", "evaluate", "accelerate", "finetune-operator")


def provenance(config: RunConfig, pretrained: Pretrained, revision: str | None, fingerprint: str) -> Provenance:
    """Return what a run was made of.

    Args:
        revision: Of the data set, where it is known.
        fingerprint: Of the rows that are trained on.
    """
    libraries = _libraries(config, pretrained)
    return Provenance(
        model_revision=pretrained.revision,
        dataset_revision=revision if is_hub_id(config.dataset.source) else None,
        dataset_fingerprint=fingerprint,
        config_digest=config.digest(),
        versions={"python": platform.python_version(), **{name: version_of(name) for name in libraries}},
        seed=config.training.seed,
    )


def _libraries(config: RunConfig, pretrained: Pretrained) -> list[str]:
    lora, engine = config.training.lora, config.training.engine
    return [
        *_LIBRARIES,
        *TASKS[config.task].libraries,
        *(["peft"] if lora or pretrained.adapter else []),
        *(["bitsandbytes"] if lora and lora.quantization else []),
        *ENGINES[engine].packages,
    ]
