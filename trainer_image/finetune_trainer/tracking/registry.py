"""The trackers that there are, each in the module of its name."""

from importlib import import_module
from importlib.util import find_spec
from typing import Final

from finetune_api.reasons import Reason
from finetune_api.tracking import Tracking as Settings
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.storage.credentials import check_tracker_credentials
from finetune_trainer.storage.output import Output
from finetune_trainer.tracking.tracker import Description, Tracker

PACKAGES: Final = {"mlflow": "requests", "tensorboard": "tensorboardX", "wandb": "wandb", "trackio": "requests"}
"""What each tracker imports."""
_IMAGE: Final = "use the trainer's own image"
_IMAGES: Final = {"wandb": "build the trainer's image with EXTRAS=trainer,wandb"}
"""For what the usual image lacks."""


def check_trackers(settings: Settings | None) -> None:
    """Check what is certain to be wrong with the trackers, before anything is read.

    Raises:
        TrainerError: BAD_CONFIGURATION when the image lacks what a tracker needs, or the Secret its keys.
    """
    if settings is None:
        return
    names = named(settings)
    for name in names:
        package = PACKAGES[name]
        if find_spec(package) is None:
            raise bad_configuration(
                f"tracking.{name} needs the package {package}, which is not installed here",
                f"{_IMAGES.get(name, _IMAGE)}, install {package} in yours, or leave tracking.{name} out",
                Reason.TRACKER_NOT_INSTALLED,
            )
    check_tracker_credentials(names)


def make_trackers(settings: Settings, output: Output, run: Description) -> list[Tracker]:
    """Return the trackers that the settings name. What one imports is imported only where it is named."""
    modules = [import_module(f"finetune_trainer.tracking.{name}") for name in named(settings)]
    return [module.make(settings, output, run) for module in modules]


def named(settings: Settings) -> list[str]:
    """Return the trackers that the settings name."""
    return [name for name in PACKAGES if getattr(settings, name) is not None]
