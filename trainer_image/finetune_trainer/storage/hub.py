"""A repository of the Hugging Face Hub as the place of an output: each checkpoint and each model is one commit."""

import shutil
import tempfile
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.hf_api import RepoFile

from finetune_trainer.storage.credentials import hub_token
from finetune_trainer.storage.errors import remote_failures
from finetune_trainer.storage.layout import HISTORY, MODEL_CARD, RUN
from finetune_trainer.storage.place import Entry

_NOT_OF_THE_MODEL = (RUN, HISTORY, MODEL_CARD, ".gitattributes")
"""Files at the top of a repository that are no part of the model there."""
_FILES_AT_ONCE = 4
_PRECONDITION_FAILED = 412


class HubRepository:
    """hf://org/name, a `Place`. The model is at the top, so that others load it by the name of the repository alone."""

    pause_seconds = 300.0  # the Hub limits the commits of an hour
    model_folder = ""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._repository = self.uri.removeprefix("hf://")

    def probe(self) -> None:
        """Create the repository, private, if there is none; check that it may be written."""
        with remote_failures(self.uri, "output"):
            self._api().create_repo(self._repository, private=True, exist_ok=True)
            self._api().auth_check(self._repository, write=True)

    def entries(self, folder: str = "") -> dict[str, Entry]:
        with remote_failures(self.uri, "output"):
            try:
                tree = list(self._api().list_repo_tree(self._repository, recursive=True))
            except EntryNotFoundError:  # of a repository without a commit
                return {}
        files = [file for file in tree if isinstance(file, RepoFile)]
        below = f"{folder}/" if folder else ""
        return {
            file.path: Entry(file.size, file.lfs.sha256 if file.lfs else file.blob_id)
            for file in files
            if file.path.startswith(below) or file.path == folder
        }

    def read(self, name: str) -> bytes | None:
        with remote_failures(self.uri, "output"), tempfile.TemporaryDirectory() as folder:
            try:
                return Path(self._fetch(name, Path(folder))).read_bytes()
            except LocalEntryNotFoundError:  # what the library calls it when the Hub was not reached
                raise
            except EntryNotFoundError:
                return None

    def download(self, files: Mapping[str, Path]) -> None:
        def copy(name: str) -> None:
            with tempfile.TemporaryDirectory(dir=files[name].parent) as folder:
                shutil.move(self._fetch(name, Path(folder)), files[name])

        with remote_failures(self.uri, "output"), ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            list(pool.map(copy, files))

    def write(self, name: str, content: bytes) -> None:
        self._commit(f"Write {name}", [CommitOperationAdd(name, content)])

    def create(self, name: str, content: bytes) -> None:
        with remote_failures(self.uri, "output"):
            parent = self._api().repo_info(self._repository).sha
        if name in self.entries():
            return
        try:
            self._commit(f"Write {name}", [CommitOperationAdd(name, content)], parent)
        except Exception as error:
            cause = error.__cause__
            if not (isinstance(cause, HfHubHTTPError) and cause.response.status_code == _PRECONDITION_FAILED):
                raise

    def put(self, files: Mapping[str, Path | bytes], last: str, removed: Collection[str] = ()) -> None:
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
            for name, content in files.items()
        ]
        operations += [CommitOperationDelete(name) for name in sorted(set(removed) - files.keys())]
        self._commit(f"Write {last.rpartition('/')[0] or 'the model'}", operations)

    def replace(self, folder: str, files: Mapping[str, Path], last: str) -> None:
        there = self.entries(folder)
        old = [name for name in there if folder or ("/" not in name and name not in _NOT_OF_THE_MODEL)]
        self.put(files, last, old)

    def remove(self, names: Collection[str], first: str) -> None:
        if names:
            deleted = [CommitOperationDelete(name) for name in sorted(names)]
            self._commit(f"Delete {first.rpartition('/')[0]}", deleted)

    def _commit(
        self,
        message: str,
        operations: list[CommitOperationAdd]
        | list[CommitOperationDelete]
        | list[CommitOperationAdd | CommitOperationDelete],
        parent: str | None = None,
    ) -> None:
        with remote_failures(self.uri, "output"):
            self._api().create_commit(self._repository, [*operations], commit_message=message, parent_commit=parent)

    def _fetch(self, name: str, folder: Path) -> str:
        return self._api().hf_hub_download(self._repository, name, local_dir=folder)

    def _api(self) -> HfApi:
        """Return a client with the token that the Secret holds now."""
        return HfApi(token=hub_token("output"))
