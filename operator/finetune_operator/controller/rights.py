"""Rights that the operator lacks for what it changes and deletes: asked for again soon, and ever more seldom the more jobs wait for one."""

from weakref import WeakValueDictionary

from finetune_operator.controller.blocked import lacks_right, longest_wait
from finetune_operator.controller.entry import Entry
from finetune_operator.job.finetunejob import Key


class MissingRights:
    """The jobs for which a right was lacking when it was last asked for. Those that are gone do not count."""

    def __init__(self) -> None:
        self._waiting: WeakValueDictionary[Key, Entry] = WeakValueDictionary()

    def longest(self, key: Key, entry: Entry, said: str) -> float:
        """Take in what the API server says of what was asked of it for a job. Return the seconds within which to ask again."""
        if lacks_right(said):
            self._waiting[key] = entry
        else:
            self.given(key)
        return longest_wait(said, len(self._waiting))

    def given(self, key: Key) -> None:
        """Take in that nothing is refused for a job any more."""
        self._waiting.pop(key, None)
