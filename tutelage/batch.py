"""Batches: ragged for the model, padded for the maths (D2).

B sequences · M segments · N tokens of all segments laid end to end · L tokens under the response mask · P prompt · T response
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from tutelage.errors import ShapeError


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatch:
    """Segments laid end to end; no padding anywhere.

    A segment is a whole sequence, or a prefix that several sequences share, or what one of those adds to its prefix.
    The prefix is computed once; each suffix attends to it and to itself. A token is a label where `response_mask` is
    True: it is predicted from the token before it, so the first token of a sequence never is one.
    """

    ids: Tensor               # (N,) int64
    positions: Tensor         # (N,) int64, restarting at 0 in each sequence
    cu_seqlens: Tensor        # (M+1,) int32, where each segment starts; the last entry is N
    prefix: Tensor            # (M,) int64, the segment this one goes on from, -1 where it starts at position 0
    response_mask: Tensor     # (N,) bool, True on tokens that are trained on or were chosen by the policy
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, m = self.ids.shape[0], self.cu_seqlens.shape[0] - 1
        shapes = (self.positions.shape, self.response_mask.shape, self.prefix.shape)
        if shapes != ((n,), (n,), (m,)) or int(self.cu_seqlens[-1]) != n:
            raise ShapeError(
                f"TokenBatch: ids {(n,)}, positions {tuple(shapes[0])}, response_mask {tuple(shapes[1])} and the last of "
                f"cu_seqlens ({int(self.cu_seqlens[-1])}) must agree, and prefix {tuple(shapes[2])} with {m} segments.")

    @classmethod
    def pack(cls, sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[bool]],
             prompt_lengths: Sequence[int] | None = None) -> Self:
        """Lay B sequences end to end.

        Neighbouring sequences that begin with the same `prompt_lengths` ids share them: the prompt becomes one
        segment, computed once. Labels inside a prompt are not possible then.

        Raises:
            ShapeError: if there is none, one is empty, a mask has another length than its sequence, or a prompt to be
                shared leaves no response or holds labels.
        """
        if len(sequences) != len(masks) or not sequences:
            raise ShapeError(f"pack got {len(sequences)} sequences and {len(masks)} masks; wanted as many, at least 1.")
        for row, (ids, mask) in enumerate(zip(sequences, masks, strict=True)):
            if len(ids) != len(mask) or len(ids) == 0:
                raise ShapeError(f"pack: sequence {row} has {len(ids)} ids and a mask of {len(mask)}; wanted the same, > 0.")
        segments: list[tuple[Sequence[int], Sequence[bool], int]] = []     # ids, mask, prefix
        for rows in _sharing_rows(sequences, prompt_lengths):
            if len(rows) == 1:
                segments.append((sequences[rows[0]], masks[rows[0]], -1))
                continue
            assert prompt_lengths is not None
            shared, width = len(segments), prompt_lengths[rows[0]]
            segments.append((sequences[rows[0]][:width], [False] * width, -1))
            for row in rows:
                if len(sequences[row]) <= width or any(masks[row][:width]):
                    raise ShapeError(f"pack: sequence {row} shares its first {width} ids, so it needs a response after "
                                     "them and no label among them.")
                segments.append((sequences[row][width:], masks[row][width:], shared))
        return cls._of_segments(segments)

    @classmethod
    def _of_segments(cls, segments: Sequence[tuple[Sequence[int], Sequence[bool], int]]) -> Self:
        lengths = [len(ids) for ids, _, _ in segments]
        cu_seqlens = torch.zeros(len(segments) + 1, dtype=torch.int32)
        cu_seqlens[1:] = torch.tensor(lengths).cumsum(0)
        mask = torch.tensor([keep for _, row, _ in segments for keep in row], dtype=torch.bool)
        offsets = [0 if prefix < 0 else lengths[prefix] for _, _, prefix in segments]
        starts = [int(start) for start, offset in zip(cu_seqlens[:-1], offsets, strict=True) if offset == 0]
        mask[starts] = False      # nothing stands before a first token, so nothing predicts it
        return cls(ids=torch.tensor([token for ids, _, _ in segments for token in ids]),
                   positions=torch.cat([torch.arange(a, a + n) for a, n in zip(offsets, lengths, strict=True)]),
                   cu_seqlens=cu_seqlens, prefix=torch.tensor([prefix for _, _, prefix in segments]), response_mask=mask)

    @property
    def is_sequence(self) -> Tensor:
        """(M,) bool, True on segments that end a sequence: all but the shared prefixes."""
        keep = torch.ones_like(self.prefix, dtype=torch.bool)
        keep[self.prefix[self.prefix >= 0]] = False
        return keep

    @property
    def num_sequences(self) -> int:
        return int(self.is_sequence.sum())

    @property
    def num_tokens(self) -> int:
        return self.ids.shape[0]

    @property
    def last(self) -> Tensor:
        """Index of each sequence's last token among the N, (B,)."""
        return (self.cu_seqlens[1:].long() - 1)[self.is_sequence]

    @property
    def label_index(self) -> Tensor:
        """Index of each label among the N tokens, (L,), in order."""
        return self.response_mask.nonzero().squeeze(1)

    @property
    def before_label(self) -> Tensor:
        """Index of the token that predicts each label, (L,): the one before, or the last of the shared prefix."""
        before = torch.arange(-1, self.num_tokens - 1, device=self.ids.device)
        suffix = self.prefix >= 0
        before[self.cu_seqlens[:-1][suffix].long()] = self.cu_seqlens[1:][self.prefix[suffix]].long() - 1
        return before[self.response_mask]

    @property
    def labels(self) -> Tensor:
        return self.ids[self.response_mask]       # (L,)

    @property
    def sequence_of_label(self) -> Tensor:
        """Which of the B sequences each label belongs to, (L,)."""
        rank = self.is_sequence.cumsum(0) - 1
        return torch.repeat_interleave(rank, self.cu_seqlens.diff().long())[self.response_mask]

    @property
    def label_counts(self) -> Tensor:
        """Labels of each sequence, (B,)."""
        return torch.bincount(self.sequence_of_label, minlength=self.num_sequences)

    def label_columns(self) -> Tensor:
        """Column of each label in the padded (B, T) form, (L,): its rank among its sequence's labels."""
        counts = self.label_counts
        starts = torch.cumsum(counts, 0) - counts
        return torch.arange(int(counts.sum()), device=self.ids.device) - starts[self.sequence_of_label]

    def pad(self, flat: Tensor, width: int | None = None, fill: float = 0.0) -> Tensor:
        """Scatter one value a label (L,) to (B, T), T the most labels of a sequence or `width`; right-padded."""
        width = int(self.label_counts.max()) if width is None else width
        padded = flat.new_full((self.num_sequences, width), fill)
        return padded.index_put((self.sequence_of_label, self.label_columns()), flat)

    def padded_mask(self, width: int | None = None) -> Tensor:
        """(B, T) bool, True where `pad` put a value."""
        return self.pad(torch.ones_like(self.labels, dtype=torch.bool), width, False)

    def to(self, device: torch.device | str) -> Self:
        return replace(self, ids=self.ids.to(device), positions=self.positions.to(device),
                       cu_seqlens=self.cu_seqlens.to(device), prefix=self.prefix.to(device),
                       response_mask=self.response_mask.to(device),
                       extras={name: value.to(device) for name, value in self.extras.items()})


def _sharing_rows(sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int] | None) -> list[list[int]]:
    """Runs of neighbouring rows that begin with the same prompt; every row alone where no prompt lengths are given."""
    runs: list[list[int]] = []
    for row in range(len(sequences)):
        if prompt_lengths is not None and runs:
            first, width = runs[-1][0], prompt_lengths[row]
            if width > 0 and width == prompt_lengths[first] and \
                    tuple(sequences[row][:width]) == tuple(sequences[first][:width]):
                runs[-1].append(row)
                continue
        runs.append([row])
    return runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """B sampled responses with everything the update needs, padded on the right to (B, T)."""

    sequences: tuple[tuple[int, ...], ...]    # B rows of prompt + response ids
    prompt_lengths: tuple[int, ...]           # (B,)
    response_mask: Tensor                     # (B, T) bool, True on tokens the policy chose
    old_logprobs: Tensor                      # (B, T) of the trainer's own forward (D8)
    ref_logprobs: Tensor                      # (B, T)
    values: Tensor                            # (B, T) the critic's V(s_t) when sampled
    scores: Tensor                            # (B,)
    group_ids: Tensor                         # (B,) int64, equal for samples of one prompt
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return self.scores.shape[0]
