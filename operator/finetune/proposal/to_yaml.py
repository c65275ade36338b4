"""A proposal as YAML, with its reasons as comments."""

import io
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from finetune.proposal.propose import Proposal
from finetune_api.printable import printable

_FLAT: Final = ("train", "evaluation", "arguments", "output", "resources")
"""Sections in one line, where they hold no section."""


def proposal_yaml(proposal: Proposal) -> str:
    """Return the manifest with a comment above each part that has a reason."""
    document = _commented(proposal.manifest, (), proposal.why)
    document.yaml_set_start_comment(printable("\n".join(proposal.head), lines=True))
    yaml = YAML()
    yaml.width = 4096
    yaml.allow_unicode = True
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _commented(value: Any, path: tuple[str, ...], why: dict[tuple[str, ...], str]) -> Any:
    if isinstance(value, list):
        items = CommentedSeq(value)
        items.fa.set_flow_style()
        return items
    if not isinstance(value, dict):
        return value
    section = CommentedMap()
    for name, each in value.items():
        section[name] = _commented(each, (*path, name), why)
        reason = why.get((*path, name))
        if reason:
            section.yaml_set_comment_before_after_key(name, before=printable(reason), indent=2 * len(path))
    if path and path[-1] in _FLAT and not any(isinstance(each, dict) for each in value.values()):
        section.fa.set_flow_style()
    return section
