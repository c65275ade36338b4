"""The settings of `generate` that a model is exported with."""

import re

from transformers import GenerationConfig, PreTrainedModel


def repair_generation(model: PreTrainedModel) -> None:
    """Leave out what has no effect, or transformers would refuse to save the model once it was changed otherwise.

    Some models on the Hub give a temperature and do not say whether they sample: they do.
    """
    settings = model.generation_config if model.can_generate() else None
    if settings is None:
        return
    without_effect = _without_effect(settings)
    if settings.do_sample is None:
        settings.do_sample = True
        if _without_effect(settings) == without_effect:
            settings.do_sample = None
    for name in _without_effect(settings):
        setattr(settings, name, None)


def _without_effect(settings: GenerationConfig) -> set[str]:
    """Settings that others make void, such as a length penalty without beams. transformers names them in a text alone."""
    try:
        settings.validate(strict=True)
    except ValueError as error:
        return set(re.findall(r"^- `(\w+)`:", str(error), re.MULTILINE))
    return set()


def stop_at(model: PreTrainedModel, token: int) -> None:
    """Make `generate` end at `token` too: one of several, where the model knows another end."""
    settings = model.generation_config
    if settings is None:
        return
    known = settings.eos_token_id
    known = known if isinstance(known, list) else [] if known is None else [known]
    if token not in known:
        settings.eos_token_id = [*known, token] if known else token
