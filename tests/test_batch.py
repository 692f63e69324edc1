"""Packing loses nothing: what goes in ragged comes out padded, each label in its row and column."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from tutelage.batch import TokenBatch
from tutelage.errors import ShapeError

# Three sequences; a dot is outside the mask.      .  .  13 14     21 22     .  32 .
IDS = [[11, 12, 13, 14], [21, 22], [31, 32, 33]]
MASKS = [[False, False, True, True], [True, True], [False, True, False]]


def test_sequences_lie_end_to_end_and_positions_begin_anew() -> None:
    batch = TokenBatch.pack(IDS, MASKS)
    assert batch.ids.tolist() == [11, 12, 13, 14, 21, 22, 31, 32, 33]
    assert batch.positions.tolist() == [0, 1, 2, 3, 0, 1, 0, 1, 2]
    assert batch.cu_seqlens.tolist() == [0, 4, 6, 9] and batch.cu_seqlens.dtype == torch.int32
    assert batch.prefix.tolist() == [-1, -1, -1]
    assert (batch.num_sequences, batch.num_tokens, batch.last.tolist()) == (3, 9, [3, 5, 8])


def test_a_first_token_is_never_a_label() -> None:
    batch = TokenBatch.pack(IDS, MASKS)
    assert batch.labels.tolist() == [13, 14, 22, 32]                  # 21 was in the mask, and stands first
    assert batch.label_index.tolist() == [2, 3, 5, 7]
    assert batch.before_label.tolist() == [1, 2, 4, 6]
    assert batch.sequence_of_label.tolist() == [0, 0, 1, 2]
    assert batch.label_counts.tolist() == [2, 1, 1] and batch.label_columns().tolist() == [0, 1, 0, 0]


def test_padding_puts_each_label_in_its_row_and_column() -> None:
    batch = TokenBatch.pack(IDS, MASKS)
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert batch.pad(values).tolist() == [[1, 2], [3, 0], [4, 0]]
    assert batch.pad(values, width=3, fill=-1).tolist() == [[1, 2, -1], [3, -1, -1], [4, -1, -1]]
    assert batch.padded_mask().tolist() == [[True, True], [True, False], [True, False]]
    assert torch.equal(batch.pad(values)[batch.padded_mask()], values)            # and back


def test_the_gradient_of_padding_is_the_gradient_of_the_labels() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    (TokenBatch.pack(IDS, MASKS).pad(values) * torch.tensor([[1.0, 2], [3, 9], [4, 9]])).sum().backward()
    assert values.grad is not None and values.grad.tolist() == [1, 2, 3, 4]


def test_a_sequence_without_labels_has_an_empty_row() -> None:
    batch = TokenBatch.pack([[1, 2], [3, 4]], [[False, False], [False, True]])
    assert batch.label_counts.tolist() == [0, 1]
    assert batch.pad(torch.tensor([5.0])).tolist() == [[0], [5]]


def test_neighbours_share_a_prompt_and_their_labels_stay_where_they_were() -> None:
    sequences = [[1, 2, 7], [1, 2, 8, 9], [5, 6]]
    masks = [[False, False, True], [False, False, True, True], [False, True]]
    shared, plain = TokenBatch.pack(sequences, masks, prompt_lengths=[2, 2, 1]), TokenBatch.pack(sequences, masks)
    assert shared.ids.tolist() == [1, 2, 7, 8, 9, 5, 6]
    assert shared.positions.tolist() == [0, 1, 2, 2, 3, 0, 1]
    assert shared.prefix.tolist() == [-1, 0, 0, -1] and shared.is_sequence.tolist() == [False, True, True, True]
    assert shared.ids[shared.before_label].tolist() == plain.ids[plain.before_label].tolist() == [2, 2, 8, 5]
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert torch.equal(shared.pad(values), plain.pad(values))
    assert shared.num_sequences == 3 and shared.ids[shared.last].tolist() == [7, 9, 6]


@pytest.mark.parametrize(("ids", "masks", "message"), [
    ([], [], "0 sequences"),
    ([[1]], [], "1 sequences and 0 masks"),
    ([[1, 2]], [[True]], "sequence 0 has 2 ids and a mask of 1"),
    ([[1], []], [[True], []], "sequence 1 has 0 ids"),
])
def test_what_does_not_fit_is_refused(ids: list[list[int]], masks: list[list[bool]], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        TokenBatch.pack(ids, masks)


def test_a_shared_prompt_needs_a_response_and_no_label() -> None:
    with pytest.raises(ShapeError, match="needs a response"):
        TokenBatch.pack([[1, 2], [1, 2, 3]], [[False] * 2, [False, False, True]], [2, 2])
    with pytest.raises(ShapeError, match="no label among them"):
        TokenBatch.pack([[1, 2, 3], [1, 2, 3]], [[False, True, True]] * 2, [2, 2])


def test_tensors_that_disagree_are_refused() -> None:
    batch = TokenBatch.pack(IDS, MASKS)
    with pytest.raises(ShapeError, match="must agree"):
        TokenBatch(ids=batch.ids[:-1], positions=batch.positions, cu_seqlens=batch.cu_seqlens, prefix=batch.prefix,
                   response_mask=batch.response_mask)


def test_a_batch_moves_with_all_its_fields() -> None:
    batch = replace(TokenBatch.pack(IDS, MASKS), extras={"pixels": torch.zeros(2)})
    moved = batch.to("cpu")
    assert all(torch.equal(getattr(moved, field.name), getattr(batch, field.name))
               for field in fields(batch) if field.name != "extras")
    assert moved.extras["pixels"].tolist() == [0, 0]
