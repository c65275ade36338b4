"""What the figures of `make bench-gpu` are made of: operations, peaks, goals, time bounds and tables. Nothing here measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

PEAKS: dict[str, float] = {
    "B200": 2250e12,
    "GH200": 989e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "A10G": 70e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L4": 121e12,
}
"""Dense bfloat16 operations a second, by NVIDIA's data sheets; a longer name comes before what it contains."""

Status: TypeAlias = Literal["done", "failed", "stopped"]


def peak_of(card: str) -> float | None:
    """Operations a second that the card can do at the most; None where that is not known, as of a slice of a card."""
    if "MIG" in card.split():
        return None
    words = card.replace("-", " ").split()
    return next((peak for name, peak in PEAKS.items() if set(name.split()) <= set(words)), None)


@dataclass(frozen=True)
class Operations:
    """What a model does with each token of a training step."""

    weights: int
    """Weights of linear layers that each token goes through; embeddings are looked up."""
    adapter: int = 0
    """Weights of LoRA's matrices; 0 where all weights are trained."""
    layers: int = 0
    width: int = 0
    """Numbers that attention has of each token: heads times their size."""
    context: int = 0
    """Tokens of a text; where several are packed into a sequence, of each."""
    causal: bool = False
    """Whether a token sees only those before it."""

    @property
    def per_token(self) -> float:
        """Floating point operations for each token, forward and backward.

        6 for each weight that is trained (2 forward, 4 backward), as in Kaplan et al.,
        https://arxiv.org/abs/2001.08361, section 2.1. A frozen weight takes 4: no gradient of its own is computed.
        Attention takes 12 for each layer, number of its width and token of the context, as in Chowdhery et al.,
        https://arxiv.org/abs/2204.02311, appendix B; half of that where it is causal, since half is masked.
        Activations that are computed again do not count.
        """
        matrices = 4 * self.weights + 6 * self.adapter if self.adapter else 6 * self.weights
        return matrices + (6 if self.causal else 12) * self.layers * self.width * self.context


def utilization(operations: Operations, tokens_per_second: float, card: str) -> float | None:
    """Share of the card's peak that the model's own operations take (MFU); None where the peak is not known."""
    peak = peak_of(card)
    return None if peak is None else operations.per_token * tokens_per_second / peak


@dataclass(frozen=True)
class Goal:
    """What a figure should be at least (or at the most)."""

    value: float
    text: str
    at_most: bool = False
    card: str = ""
    """The card that it is meant for; on others it is only told."""

    def verdict(self, measured: float | None, card: str) -> str:
        """The goal, and whether it was reached."""
        if measured is None or self.card not in card:
            return self.text
        reached = measured <= self.value if self.at_most else measured >= self.value
        return f"{self.text}: {'reached' if reached else 'missed'}"


def allowance(budgets: Mapping[str, float], spent: Mapping[str, float], name: str) -> float:
    """Seconds that the part `name` may take: its own budget, and what the parts before it left of theirs.

    Args:
        budgets: Of all parts that run.
        spent: By those that have run.
    """
    return budgets[name] + sum(budgets[done] for done in spent) - sum(spent.values())


def scaled(budgets: Mapping[str, float], total: float) -> dict[str, float]:
    """The budgets, all smaller or larger by one factor, so that they add up to `total`."""
    factor = total / sum(budgets.values())
    return {name: seconds * factor for name, seconds in budgets.items()}


def table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Lines with the first column to the left and the others to the right; `-` where a row has no value."""
    cells = [list(columns), *([_shown(row.get(column)) for column in columns] for row in rows)]
    widths = [max(len(line[number]) for line in cells) for number in range(len(columns))]
    lines = []
    for line in cells:
        first, *others = (text.rjust(width) for text, width in zip(line, widths, strict=True))
        lines.append("  ".join([first.lstrip().ljust(widths[0]), *others]).rstrip())
    return "\n".join(lines)


def _shown(value: Any) -> str:
    """A number with as many digits as mean something."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def share(value: float | None) -> str | None:
    """0.314 as 31.4 %."""
    return None if value is None else f"{value:.1%}"


def gib(size: float | None) -> str | None:
    """Bytes in GiB, or in MiB where they are few."""
    if size is None:
        return None
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.1f} MiB"
