"""Which process leads a shard: the one that holds its Lease, once all shards agree on their number."""

from collections.abc import Awaitable, Callable
from typing import Final

from kubernetes.aio.client import ApiClient

from finetune_operator.job.shard import Shard
from finetune_operator.kube.client import Kube
from finetune_operator.kube.lease import Lease
from finetune_operator.kube.siblings import Siblings

ENDING_SECONDS: Final = 30.0
"""The work may take so long to end, and the Lease to be released."""
_LEASE_QPS = 10
"""Of the Lease, whose renewal waits for no other request."""


class Leadership:
    """Works whenever it is this process' turn."""

    def __init__(
        self, client: ApiClient, shard: Shard, *, namespace: str, base: str, identity: str, seconds: float
    ) -> None:
        """`base` names the first shard's Lease, `identity` this process and no other; the Lease holds for so many seconds."""
        kube = Kube(client, qps=_LEASE_QPS, burst=_LEASE_QPS)
        self._siblings = Siblings(kube, namespace=namespace, base=base, shards=shard.of, seconds=seconds)
        self._lease = Lease(
            kube,
            namespace=namespace,
            name=shard.name(base),
            metadata=self._siblings.metadata,
            identity=identity,
            seconds=seconds,
        )

    def left(self) -> float:
        """Seconds for which this process may still write; 0 if it does not lead."""
        return self._lease.left()

    def trouble(self) -> str | None:
        """A Check: that nobody is known to lead, so that nobody works."""
        return self._lease.trouble()

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Work whenever the Lease is held and no sibling counts other shards, until cancelled. Raises what `work` raises."""

        async def lead() -> None:
            await self._siblings.agree()
            await work()

        await self._lease.run(lead)
