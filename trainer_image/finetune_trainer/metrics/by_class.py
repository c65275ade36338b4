"""What an evaluation found of each class, as it is in the history and beside the exported model."""

from pydantic import BaseModel


class Confusion(BaseModel):
    """How often one class was taken for another."""

    wanted: str
    given: str
    count: int


class ByClass(BaseModel):
    """Precision, recall and f1 of each class, or of each type of entity, from 0 to 1 in the order of `names`."""

    names: list[str]
    precision: list[float]
    recall: list[float]
    f1: list[float]
    support: list[int]
    """How many rows, words or entities are of the class."""
    left_out: int = 0
    """Classes with the least support that are not among these, where there are very many."""
    confusion: list[list[int]] | None = None
    """Rows of the first class by what they were taken for, then of the second, …; where there are few classes, of which
    a row has one."""
    mistakes: list[Confusion] | None = None
    """The most frequent ones, where there are more classes than that."""

    def summary(self, most: int = 12) -> str:
        """`f1 of the classes: neg 0.91 of 20, …`, the lowest first where there are more than `most`."""
        order = range(len(self.names))
        shown = list(order) if len(self.names) <= most else sorted(order, key=lambda index: self.f1[index])[:most]
        each = ", ".join(f"{self.names[index]} {self.f1[index]:.3g} of {self.support[index]}" for index in shown)
        rest = len(self.names) + self.left_out - len(shown)
        return f"f1 of the classes: {each}" + (f"; {rest} more are not lower" if rest else "")
