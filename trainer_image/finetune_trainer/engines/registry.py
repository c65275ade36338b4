"""The engines by the name that training.engine gives."""

from finetune_trainer.engines.engine import Engine, Prepared
from finetune_trainer.progress.events import TrainingEvents


def make_engine(prepared: Prepared, events: TrainingEvents) -> Engine:
    """The engine that training.engine names; its libraries are imported only then."""
    match prepared.config.training.engine:
        case "trainer":
            from finetune_trainer.engines import transformers_trainer

            return transformers_trainer.Engine(prepared, events)
        case "pytorch":
            from finetune_trainer.engines import pytorch_loop

            return pytorch_loop.Engine(prepared, events)
        case "keras":
            from finetune_trainer.engines.keras import engine

            return engine.Engine(prepared, events)
