"""A Lease: which of several processes works, and until when it may.

The rules are client-go's (https://pkg.go.dev/k8s.io/client-go/tools/leaderelection): who waits goes by its own clock and by
whether the Lease changes, never by a time that another wrote. Unlike there the holder knows until when it may write: its time
counts from before the renewal was sent, and ends a tenth earlier than for those who wait.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from kubernetes.aio.client.exceptions import ConflictException, NotFoundException

from finetune_api.base import JsonObject
from finetune_operator.kube.cancellation import end_all
from finetune_operator.kube.client import Kind, Kube
from finetune_operator.kube.errors import brief, shared_cause, unexpected
from finetune_operator.kube.server_time import boot_time

LEASES: Final = Kind("/apis/coordination.k8s.io/v1", "leases")

_RENEWALS: Final = 5
"""Of one duration."""
_ATTEMPTS: Final = 3
"""How many requests that are never answered fit into one duration."""
_LONGEST_SECONDS: Final = 3600.0
"""No Lease holds for longer without being renewed, whatever it says: one that nobody renews must not keep all from working for years."""
_SKEW: Final = 0.1
"""Part of a duration that the holder leaves unused: clocks do not run alike."""
_MOST_TRANSITIONS: Final = 2_147_483_647
"""The API server takes no more. Somebody may have written as many, and nobody could ever lead again."""
_ENDING_SECONDS: Final = 10.0
"""The work may take so long to end, since the reports under way are let end; what takes longer has not heard that it is over."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """What a Lease says of its holder. It changes with each renewal."""

    identity: str = ""
    """Empty if nobody holds it."""
    renewed: str = ""
    seconds: float = 0.0
    """For how long it holds without being renewed; 0 if it does not say."""

    @classmethod
    def of(cls, lease: JsonObject | None) -> "Holder":
        """Read a Lease; None is one that is not there."""
        spec = (lease or {}).get("spec") or {}
        return cls(
            str(spec.get("holderIdentity") or ""),
            str(spec.get("renewTime") or ""),
            min(float(spec.get("leaseDurationSeconds") or 0), _LONGEST_SECONDS),
        )


class Others:
    """What is known of other holders from looking at the Lease again and again."""

    def __init__(self) -> None:
        self.holder: Holder | None = None
        """As it was last seen; None before the first look."""
        self._since = 0.0
        self._moves = False

    def look(self, holder: Holder, now: float) -> None:
        """Take in what the Lease says now."""
        if holder != self.holder:
            self._moves = self.holder is not None
            self.holder, self._since = holder, now

    def left(self, now: float, seconds: float) -> float:
        """Seconds for which another may hold it; 0 if none does. `seconds` is for a Lease that does not say how long."""
        if self.holder is None or not self.holder.identity:
            return 0.0
        return max(0.0, self._since + (self.holder.seconds or seconds) - now)

    def lead(self, now: float, seconds: float) -> bool:
        """Whether one was seen to take or renew the Lease, and holds it."""
        return self._moves and self.left(now, seconds) > 0


class Lease:
    """Waits for a Lease, works while it holds it, and waits again where it was lost."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        name: str,
        identity: str,
        seconds: float,
        metadata: JsonObject | None = None,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        """Make one that is not held yet.

        Args:
            kube: Sends requests that wait for nobody else's.
            namespace: Of the Lease, which is made where there is none.
            name: Of the Lease.
            identity: Of this process and of no other.
            seconds: How long the Lease holds without being renewed. It is renewed five times as often.
            metadata: Labels and annotations of the Lease while this process holds it.
            clock: Seconds, which go on in whatever state the process is.
        """
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._metadata = metadata or {}
        self._clock = clock
        self._live: JsonObject | None = None
        """The Lease as it was last seen or written."""
        self._deadline = -math.inf
        self._others = Others()
        self._failure = ""
        """What the last attempt met; empty where it was answered."""

    def left(self) -> float:
        """Seconds for which this process may still write; 0 if it does not hold the Lease."""
        return max(0.0, self._deadline - self._clock())

    def trouble(self) -> str | None:
        """A Check: that nobody is known to hold the Lease, so that nobody works."""
        if self.left() or self._others.lead(self._clock(), self._seconds):
            return None
        return f"nobody leads by the Lease {self._name}: {self._why_nobody_leads()}"

    def _why_nobody_leads(self) -> str:
        if self._failure:
            return f"it cannot be had ({self._failure})"
        holder = self._others.holder
        return f"{holder.identity} does not renew it" if holder and holder.identity else "nobody is seen to hold it"

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Work whenever the Lease is held, until cancelled. It is released then, once the work has ended.

        Raises what `work` raises.
        """
        try:
            while True:
                await self._acquire()
                logger.info("%s leads by the Lease %s", self._identity, self._name)
                await self._hold(work)
                self._deadline, self._live = -math.inf, None
                logger.warning("%s does not lead any more", self._identity)
        finally:
            await self._release()
            self._live = None

    async def _acquire(self) -> None:
        known = self._identity
        while True:
            await self._attempt()
            if self.left():
                return
            holder = self._others.holder
            if holder is not None and holder.identity != known and not self._failure:
                known = holder.identity
                logger.info("%s stands by; the Lease %s is held by %s", self._identity, self._name, known or "nobody")
            left = self._others.left(self._clock(), self._seconds)
            await asyncio.sleep(min(left or math.inf, self._seconds / _RENEWALS))

    async def _hold(self, work: Callable[[], Awaitable[None]]) -> None:
        """Work until the Lease is lost, or the work has ended by itself."""
        working = asyncio.ensure_future(work())
        try:
            while self.left() and not working.done():
                await asyncio.wait([working], timeout=min(self.left(), self._seconds / _RENEWALS))
                if not working.done():
                    await self._attempt()
        finally:
            await end_all([working], again=_ENDING_SECONDS)
        if not working.cancelled():
            working.result()

    async def _attempt(self) -> None:
        """Take or renew the Lease, if that may be. What fails is logged, and tried again by the next attempt."""
        limit = self._seconds / _ATTEMPTS
        try:
            async with asyncio.timeout(min(limit, self.left() or limit)):
                if not await self._take_or_renew():
                    # Somebody has written it, and maybe we ourselves, by a request of which no answer came.
                    await self._take_or_renew()
            self._failure = ""
        except Exception as error:  # whatever the API server answers, the operator goes on
            self._failure = brief(error)
            traceback = unexpected(error, "lease")
            text, extra = "the Lease %s cannot be had: %s", {"cause": shared_cause(error)}
            logger.warning(text, self._name, brief(error), exc_info=traceback, extra=extra)

    async def _take_or_renew(self) -> bool:
        """Return whether what was known of the Lease was true."""
        if Holder.of(self._live).identity != self._identity:
            self._live = await self._kube.get(LEASES, self._namespace, self._name)
            holder = Holder.of(self._live)
            if holder.identity != self._identity:
                self._others.look(holder, self._clock())
                if self._deadline > -math.inf:
                    self._deadline = -math.inf  # It was ours, and is not any more.
                    return True
                if self._others.left(self._clock(), self._seconds):
                    return True
        sent = self._clock()
        try:
            self._live = await self._write(self._identity)
        except (ConflictException, NotFoundException):
            self._live = None
            return False
        self._deadline = sent + self._seconds * (1 - _SKEW)
        return True

    async def _write(self, identity: str | None) -> JsonObject:
        """Write who holds the Lease, with the resourceVersion that was last seen. Raises ConflictException, API_FAILURES."""
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        metadata = {"namespace": self._namespace, "name": self._name}
        live = self._live or {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
        spec = {**(live.get("spec") or {}), "renewTime": now, "leaseDurationSeconds": math.ceil(self._seconds)}
        if identity != spec.get("holderIdentity"):
            transitions = min(int(spec.get("leaseTransitions") or 0), _MOST_TRANSITIONS - 1) + 1
            spec = {**spec, "acquireTime": now, "leaseTransitions": transitions}
        spec = {**spec, "holderIdentity": identity}
        named = {each: {**(live["metadata"].get(each) or {}), **ours} for each, ours in self._metadata.items()}
        manifest = {**live, "metadata": {**live["metadata"], **named}, "spec": spec}
        return await (self._kube.replace if self._live else self._kube.create)(LEASES, manifest)

    async def _release(self) -> None:
        """Let another take the Lease at once, if it is held."""
        held, self._deadline = self.left(), -math.inf
        if not held:
            return
        try:
            async with asyncio.timeout(min(held, self._seconds / _ATTEMPTS)):
                try:
                    await self._write(None)
                except ConflictException:
                    # By a renewal of ours, perhaps, of which no answer came before the end.
                    self._live = await self._kube.get(LEASES, self._namespace, self._name)
                    if Holder.of(self._live).identity != self._identity:
                        return
                    await self._write(None)
            logger.info("%s has released the Lease %s", self._identity, self._name)
        except Exception as error:  # noqa: BLE001 - it ends by itself, a little later
            logger.warning("the Lease %s cannot be released: %s", self._name, brief(error))
