"""Which of `training.arguments` an engine supports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.base.text import did_you_mean


@dataclass(frozen=True)
class SupportedArguments:
    """Fields of TrainingArguments that mean the same to an engine as to transformers' Trainer."""

    names: Sequence[str]
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of some of them the values that the engine takes."""

    def check(self, arguments: Mapping[str, Any], engine: str) -> None:
        """Refuse what the engine would ignore.

        Args:
            arguments: training.arguments, as `check_arguments` returned them.
            engine: Its name, for the message.

        Raises:
            TrainerError: BAD_CONFIGURATION, naming the argument.
        """
        for name, value in arguments.items():
            if name not in self.names:
                raise bad_configuration(
                    f"training.arguments.{name}: engine '{engine}' does not know it{did_you_mean(name, self.names)}",
                    f"it knows {', '.join(self.names)}; engine 'trainer' knows every field",
                    Reason.ARGUMENT_NOT_HONOURED,
                )
            if name in self.choices and value not in self.choices[name]:
                raise bad_configuration(
                    f"training.arguments.{name}: engine '{engine}' takes {', '.join(self.choices[name])}, not {value!r:.80}",
                    "engine 'trainer' takes every value",
                    Reason.ARGUMENT_NOT_HONOURED,
                )
