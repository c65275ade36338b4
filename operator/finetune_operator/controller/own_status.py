"""The status of a FineTuneJob as this process wrote it last: while it leads, what somebody else writes there decides nothing."""

from dataclasses import dataclass

from finetune_api.base import JsonObject
from finetune_operator.kube.packed import unpack, version_of


@dataclass
class OwnStatus:
    """What was written, what else was written since, and what waits while it is being written."""

    written: JsonObject | None = None
    """The version whose status this process has written last, packed."""
    falsified: bool = False
    """Whether somebody else has written another status since."""
    is_of_another: bool = False
    """Whether the run is gone by as somebody else has ended it while this process leads: its status uses up nothing of the namespace's
    month, and whoever wrote it tells of the end."""
    is_being_written: bool = False
    later: JsonObject | None = None
    """The newest version that came while the status is being written. It waits for that, since it may be what is being written."""

    def begin_writing(self) -> None:
        """Let newer versions wait from now on."""
        self.is_being_written = True

    def put_off(self, raw: JsonObject) -> bool:
        """Let a version wait for what is being written. Return False where nothing is."""
        # The turn to write may be long in coming, and who edits the job meanwhile could fill the memory: one is kept.
        if self.is_being_written and (self.later is None or version_of(raw) > version_of(self.later)):
            self.later = raw
        return self.is_being_written

    def end_writing(self) -> JsonObject | None:
        """Let none wait any more. Return the version that has waited, if any did."""
        later, self.later, self.is_being_written = self.later, None, False
        return later

    def wrote(self, packed: JsonObject) -> None:
        """Keep the version that was written."""
        self.written, self.falsified = packed, False

    def put_into(self, raw: JsonObject) -> JsonObject:
        """Return a version of the object with the status that this process wrote last, if it wrote one."""
        if self.written is None:
            return raw
        there, own = unpack(raw), unpack(self.written)
        self.falsified = there.get("status") != own.get("status")
        return {**there, "status": own["status"]} if self.falsified else raw

    def forget(self) -> None:
        """Go by what is there: another process may write from now on."""
        self.written, self.falsified, self.is_of_another = None, False, False

    def give_way(self) -> None:
        """Go by what somebody else has written, for how a run ended that this process had no pod of."""
        self.forget()
        self.is_of_another = True
