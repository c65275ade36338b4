"""The label of what is not learnt."""

from typing import Final

IGNORED_LABEL: Final = -100
"""Of a token that no loss and no metric counts, such as padding; torch and transformers take the same by default."""
