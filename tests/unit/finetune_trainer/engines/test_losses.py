"""The loss of a step is the mean over all its labels, however they are dealt out."""

import pytest
import torch

from finetune_trainer.engines.losses import count_labels, share_of_step

LOGITS = torch.arange(24.0).reshape(4, 2, 3).sin()
LABELS = torch.tensor([[0, -100], [1, 2], [-100, -100], [2, 1]])


def loss_of(rows: slice, logits: torch.Tensor = LOGITS) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits[rows].flatten(0, 1), LABELS[rows].flatten())


@pytest.mark.parametrize("size", [1, 2, 3])
def test_batches_with_unequally_many_labels_add_up_to_the_loss_of_all(size: int) -> None:
    total = count_labels({"labels": LABELS}, shifted=False)
    batches = [slice(start, start + size) for start in range(0, 4, size)]

    shares = [
        share_of_step(loss_of(rows), count_labels({"labels": LABELS[rows]}, shifted=False), total) for rows in batches
    ]

    assert int(total) == 5
    torch.testing.assert_close(torch.stack(shares).sum(), loss_of(slice(0, 4)))


def test_a_batch_without_a_label_has_neither_loss_nor_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()

    share = share_of_step(loss_of(slice(2, 3), logits), torch.tensor(0), torch.tensor(5))
    share.backward()

    assert float(share.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_loss_that_is_not_a_number_stays_so() -> None:
    assert share_of_step(torch.tensor(float("nan")), torch.tensor(2), torch.tensor(5)).isnan()


def test_of_a_language_model_the_first_label_of_a_row_is_not_counted() -> None:
    assert int(count_labels({"labels": LABELS}, shifted=True)) == 2
    assert int(count_labels({"labels": LABELS, "shift_labels": LABELS}, shifted=True)) == 5


def test_a_number_to_learn_that_looks_like_padding_counts() -> None:
    assert int(count_labels({"labels": torch.tensor([-100.0, 100.0])}, shifted=False)) == 2
