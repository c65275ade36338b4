"""Paths inside a container, said as paths on this machine.

The node starts plain processes without a mount namespace, so that it works for any user on any machine. A process
therefore sees `/data` as this machine's `/data`, not as the volume that its container mounts there. What a pod says in
`command`, `args`, `env` and `terminationMessagePath` is rewritten to where the volume lies; what a program has
written in its own code, and the text inside mounted files, is not. A folder that only holds mounts is no volume: where
a word names just this folder, it becomes one with links to the volumes.
"""

import re
from collections.abc import Callable, Mapping

# A path may begin a word or follow a scheme (`file:///data`); a mount at `/data` must not match in `/mnt/data` or
# `$(ROOT)/data`.
_BEFORE = r"(?:(?<![\w.~/)-])|(?<=://))"
_AFTER = r"(?![\w.~-])"


def path_rewriter(places: Mapping[str, str], folders: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """A function that replaces each path of `places` in a text, the longest first and only as a whole path.

    A text that is one of `folders`, and nothing else, is replaced too.
    """
    known = {mount.rstrip("/"): place for mount, place in places.items() if mount.rstrip("/")}
    if not known:
        return lambda text: text
    whole = folders or {}
    alternatives = "|".join(re.escape(mount) for mount in sorted(known, key=len, reverse=True))
    pattern = re.compile(f"{_BEFORE}(?:{alternatives}){_AFTER}")
    return lambda text: whole.get(text) or pattern.sub(lambda match: known[match.group()], text)


_REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\))")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Kubernetes' `$(VAR)` expansion: `$$` stands for `$`, and a variable that is not known stays as it is written.

    Rewrite the paths of `text` first: `variables` hold this machine's paths already, which may lie below a mountPath.
    """

    def replacement(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return "$"
        return variables.get(match.group(1), match.group())

    return _REFERENCE.sub(replacement, text)
