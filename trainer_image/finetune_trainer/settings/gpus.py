"""Whether the GPUs that are asked for are here."""

import torch

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError


def choose_cpu(gpus: int | None) -> bool:
    """Return whether to train on the CPU.

    Args:
        gpus: How many GPUs are asked for; None takes what there is.

    Raises:
        TrainerError: DEVICE when GPUs were asked for and not as many are usable.
    """
    if gpus == 0:
        return True
    usable = usable_gpus()
    if gpus and usable < gpus:
        raise TrainerError(
            ExitCode.DEVICE,
            Reason.NO_USABLE_GPU,
            f"resources.gpus is {gpus}, and torch {torch.__version__} finds {usable or 'no'} usable GPU",
            "check the driver (of a node its device plugin, too), or set resources.gpus to 0 to train on the CPU",
        )
    return usable == 0


def usable_gpus() -> int:
    """Return how many GPUs of this machine torch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0
