"""A FineTuneJob whose profile is frozen in its status."""

import hashlib
import json
from typing import Any

from tests.unit.finetune_operator.samples import parsed

from finetune_operator.job.finetunejob import FineTuneJob


def with_profile(settings: dict[str, Any] | None, **spec: Any) -> FineTuneJob:
    """With these settings of a profile, or with none."""
    if settings is None:
        return parsed(**spec)
    text = json.dumps(settings)
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    frozen = {"name": "closed", "digest": digest, "settings": text}
    return parsed({"profile": frozen}, **spec)
