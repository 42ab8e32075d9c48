"""Sounds put together from pieces: both ways of it, against numpy, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from torchaug.audio.pieces import Pieces
from torchaug.audio.spans import written

SAMPLES = 12


@st.composite
def pieces(draw: st.DrawFn) -> Pieces:
    """Some that are empty, none that overlap, in any order, and some that go beyond the end."""
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        row, at = [], 0
        for _ in range(4):
            begin = draw(st.integers(0, SAMPLES))
            end = draw(st.integers(begin - 1, SAMPLES))
            at += draw(st.integers(0, 3))
            row.append((begin, end, at))
            at += max(0, end - begin)
        rows.append(draw(st.permutations(row)))
    return Pieces(*torch.tensor(rows).unbind(-1))


def by_hand(sound: Tensor, pieces: Pieces, samples: int) -> np.ndarray:
    out = np.zeros((*sound.shape[:2], samples), np.float32)
    for row, (begins, ends, targets) in enumerate(zip(*(part.tolist() for part in pieces), strict=True)):
        for begin, end, target in zip(begins, ends, targets, strict=True):
            for step in range(end - begin):
                if target + step < samples:
                    out[row, :, target + step] = sound[row, :, begin + step]
    return out


@given(pieces(), st.integers(1, 2), st.integers(0, 30))
def test_pieces_go_where_they_belong_by_either_way(drawn: Pieces, channels: int, samples: int) -> None:
    sound = torch.rand(len(drawn.begin), channels, SAMPLES) + 1
    expected = by_hand(sound, drawn, samples)
    assert np.array_equal(drawn.of(sound, samples), expected)
    assert np.array_equal(drawn._gathered(sound, samples), expected)


@pytest.mark.parametrize("way", ["_copied", "_gathered"])
def test_gradients_of_pieces_come_back_to_where_they_came_from(way: str) -> None:
    cut = Pieces(*torch.tensor([[[0, 3, 0]], [[2, 5, 1]], [[4, 0, 7]]]))
    sound = torch.rand(1, 2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: getattr(cut, way)(x, 8), sound)
    getattr(cut, way)(sound, 8).sum().backward()
    assert sound.grad is not None
    assert sound.grad[0, 0].tolist() == [2, 1, 0, 1, 1, 0]


@pytest.mark.parametrize("shape", [(0, 1, 5), (2, 0, 5), (2, 1, 0)])
def test_no_sounds_no_channels_and_no_samples_are_pieces_of_silence(shape: tuple[int, int, int]) -> None:
    none = torch.zeros(shape[0], 1, dtype=torch.int64)
    for way in (Pieces._copied, Pieces._gathered):
        assert way(Pieces(none, none, none), torch.zeros(shape), 4).shape == (*shape[:2], 4)


def test_a_timeline_has_no_part_for_a_piece_that_ends_before_it_begins() -> None:
    way = Pieces(*torch.tensor([[[3, 0]], [[1, 2]], [[0, 5]]])).timeline()
    assert way.events(torch.tensor([[[0.0, 9.0]]])).tolist() == [[[0, 0], [5, 7]]]


def test_values_are_written_to_the_places_that_there_are_and_carry_the_gradient() -> None:
    sound = torch.rand(1, 1, 4, dtype=torch.float64, requires_grad=True)
    values = torch.rand(1, 1, 3, dtype=torch.float64, requires_grad=True)
    at = torch.tensor([[-1, 2, 4]])
    out = written(sound, at, values)
    assert torch.allclose(out[0, 0], torch.stack([sound[0, 0, 0], sound[0, 0, 1], values[0, 0, 1], sound[0, 0, 3]]))
    out.sum().backward()
    assert sound.grad is not None
    assert values.grad is not None
    assert sound.grad.tolist() == [[[1, 1, 0, 1]]]
    assert values.grad.tolist() == [[[0, 1, 0]]]
