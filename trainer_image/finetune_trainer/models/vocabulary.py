"""The vocabulary of a tokenizer beside the embeddings of its model."""

from transformers import PreTrainedTokenizerBase as Tokenizer

from finetune_api.reasons import Reason
from finetune_trainer.base.run_warnings import warn


def check_vocabulary(tokenizer: Tokenizer, embeddings: int | None, source: str) -> None:
    """Warn that the tokenizer has tokens beyond the model's embeddings: harmless as long as no text has them."""
    if embeddings is None:
        return
    beyond = {token: name for name, token in tokenizer.get_vocab().items() if token >= embeddings}
    if beyond:
        first = min(beyond)
        warn(
            Reason.TOKENS_WITHOUT_EMBEDDING,
            f"model.source {source}: its tokenizer has {len(beyond)} tokens that the model has no embedding for, such as "
            f"{beyond[first]!r} with the id {first}: it has {embeddings}; no row that is trained on may hold them",
        )
