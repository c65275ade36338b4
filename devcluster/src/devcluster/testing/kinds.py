"""Objects by the names of kinds that kubectl takes, such as `po` and `pvc`, without a start of it for each."""

from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from devcluster.testing.api import STRATEGIC, Answer, Api, Object, wait_for

_TOO_MANY_REQUESTS = 429


class Kinds:
    """The kinds that the server of a kubeconfig has, each by its plural, its singular and its short names."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._paths: dict[str, tuple[str, str, bool]] = {}

    @classmethod
    @cache
    def of(cls, kubeconfig: Path) -> "Kinds":
        return cls(Api(kubeconfig))

    def get(self, kind: str, namespace: str, name: str) -> Object:
        """The object, as `kubectl get -o json` prints it; {} if there is none."""
        answer = self._ask(f"{self._path(kind, namespace)}/{name}")
        return {} if answer.code == 404 else _shown(answer.object())

    def list(self, kind: str, namespace: str, selector: str = "") -> list[Object]:
        """The objects whose labels are selected, each with its kind."""
        found = self._ask(f"{self._path(kind, namespace)}?{urlencode({'labelSelector': selector})}").object()
        own = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
        return [_shown({**own, **each}) for each in found["items"]]

    def patch_status(self, kind: str, namespace: str, name: str, status: Object) -> None:
        """Patch a status by a strategic merge patch, which custom resources do not take."""
        path = f"{self._path(kind, namespace)}/{name}/status"
        patched = lambda: self._api("PATCH", path, {"status": status}, STRATEGIC)  # noqa: E731
        wait_for(patched, lambda answer: answer.code != _TOO_MANY_REQUESTS, path).object()

    def _path(self, kind: str, namespace: str) -> str:
        kind = kind.lower()
        if kind not in self._paths:  # or it came with a definition meanwhile
            self._paths = self._discover()
        version, plural, namespaced = self._paths[kind]
        return f"{version}/namespaces/{namespace}/{plural}" if namespaced else f"{version}/{plural}"

    def _discover(self) -> dict[str, tuple[str, str, bool]]:
        """Of two kinds of one name the first has it, as with kubectl: the core's, then by the order of groups."""
        groups = self._ask("/apis").object()["groups"]
        found: dict[str, tuple[str, str, bool]] = {}
        for version in ("/api/v1", *(f"/apis/{each['preferredVersion']['groupVersion']}" for each in groups)):
            answer = self._ask(version)
            for each in answer.body["resources"] if answer.code == 200 else []:
                if "/" not in each["name"]:
                    names = {each["name"], each.get("singularName"), each["kind"].lower(), *each.get("shortNames", ())}
                    for name in names - {None, ""}:
                        found.setdefault(name, (version, each["name"], each["namespaced"]))
        return found

    def _ask(self, path: str) -> Answer:
        """What a server answers that has too much to do is asked again."""
        return wait_for(lambda: self._api("GET", path), lambda answer: answer.code != _TOO_MANY_REQUESTS, path)


def _shown(found: Object) -> Object:
    found["metadata"].pop("managedFields", None)
    return found
