"""Paths inside a container, rewritten to paths on this machine.

The node starts plain processes without a mount namespace, so that it works for any user on any machine. A process
therefore sees `/data` as this machine's `/data`, not as the volume that its container mounts there. Paths in
`command`, `args`, `env` and `terminationMessagePath` are rewritten to the path of the volume; those in a program's code
and in mounted files are not. A folder that only holds mounts is not a volume: a word that is its path is replaced by
a folder with links to the volumes.
"""

import re
from collections.abc import Callable, Mapping

# A path may begin a word or follow a scheme (`file:///data`); a mount at `/data` must not match in `/mnt/data` or
# `$(ROOT)/data`.
_BEFORE = r"(?:(?<![\w.~/)-])|(?<=://))"
_AFTER = r"(?![\w.~-])"


def path_rewriter(places: Mapping[str, str], folders: Mapping[str, str] | None = None) -> Callable[[str], str]:
    """Return a function that replaces each path of `places` in a text, the longest first and only whole paths.

    A text that is exactly one of `folders` is replaced, too.
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
    """Expand `$(VAR)` as Kubernetes does: `$$` is `$`, and an unknown variable is left as written.

    Rewrite the paths of `text` before: `variables` have paths of this machine, which may begin with a mountPath.
    """

    def replacement(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return "$"
        return variables.get(match.group(1), match.group())

    return _REFERENCE.sub(replacement, text)
