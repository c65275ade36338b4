"""What the settings ask of an adapter that training goes on from: the task is its own, and so are the settings of LoRA."""

from collections.abc import Mapping

from finetune_api.reasons import Reason
from finetune_api.training import Lora, Task
from finetune_trainer.base.errors import bad_configuration, model_error
from finetune_trainer.models.adapter_source import Adapter


def check_adapter(adapter: Adapter, lora: Lora | None, task: Task, peft_types: Mapping[Task, str]) -> None:
    """The adapter is one for the task, and what `training.lora` sets is what it has.

    Args:
        peft_types: peft's name of each task.

    Raises:
        TrainerError: MODEL or BAD_CONFIGURATION, naming the fields.
    """
    settings = adapter.settings
    kind = settings.get("task_type")
    if kind in peft_types.values() and kind != peft_types[task]:
        other = next(name for name, its_kind in peft_types.items() if its_kind == kind)
        raise model_error(
            Reason.TASK_NOT_SUPPORTED,
            f"{adapter.source} is an adapter for {other}, and the task is {task}",
            f"set task to {other}, or model.source to its base, {adapter.base.source}",
        )
    if settings.get("layer_replication"):
        raise model_error(
            Reason.ADAPTER_NOT_SUPPORTED,
            f"{adapter.source} has layer_replication in its adapter_config.json: its model has more layers than its base",
            "use an adapter without, or train one on a model that has all these layers",
        )
    if lora is None:
        return
    usual, own = (
        Lora(),
        {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "target_modules": "target_modules"},
    )
    differ = [
        f"{field} is {getattr(lora, field)}, and {settings.get(name)} there"
        for field, name in own.items()
        if getattr(lora, field) not in (getattr(usual, field), settings.get(name))
        and not (field == "target_modules" and set(lora.target_modules or ()) == set(settings.get(name) or ()))
    ]
    if differ:
        raise bad_configuration(
            f"training.lora: {adapter.source} is an adapter with settings of its own: {'; '.join(differ)}",
            "leave these out: training goes on with the adapter's; or set model.source to its base to begin another",
        )
