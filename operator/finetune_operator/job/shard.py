"""Which namespaces a process serves, where several share them."""

import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """The part `number` of `of` parts, counted from 0."""

    number: int = 0
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `0/2`. Raises ValueError where there is no such part."""
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal() and int(number) < int(of)):
            raise ValueError("must be i/n, such as 0/2, with i from 0 and below n")
        return cls(int(number), int(of))

    def serves(self, namespace: str) -> bool:
        """Whether a namespace is of this part: each is of one, and of the same one in every process."""
        return zlib.crc32(namespace.encode()) % self.of == self.number

    def name(self, base: str) -> str:
        """Name of an object that each part has one of; that of the first is that of an operator without parts."""
        return f"{base}-{self.number}" if self.number else base
