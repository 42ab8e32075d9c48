"""Short noises in a row: each by itself and all places at once, against numpy."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from torchaug.audio.bank import SoundBank
from torchaug.audio.noise_row import Row, stretch_rms

LENGTHS = (3, 7, 12)
BANK = SoundBank([torch.rand(2, length, generator=torch.Generator().manual_seed(length)) for length in LENGTHS])


@st.composite
def noises(draw: st.DrawFn) -> Row:
    """One after the other, from before the sound's begin to behind its end; some are none."""
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        at, row = draw(st.integers(-12, 5)), []
        for _ in range(3):
            which = draw(st.integers(0, 2))
            length = draw(st.sampled_from([0, LENGTHS[which]]))
            row.append((which, at, length, 0.0, draw(st.floats(0.5, 9)), draw(st.floats(0.5, 9))))
            at += length + draw(st.integers(0, 4))
        rows.append(row)
    return Row(*(values.to(torch.int64) if i < 3 else values for i, values in enumerate(torch.tensor(rows).unbind(-1))))


def by_hand(row: Row, samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The noises, their fades, and which of the row it is at each place, from 1."""
    count = len(row.start)
    noise, weight, number = np.zeros((count, 2, samples)), np.zeros((count, samples)), np.zeros((count, samples), int)
    for b, values in enumerate(zip(*(part.tolist() for part in row), strict=True)):
        for k, (which, start, length, _, fade_in, fade_out) in enumerate(zip(*values, strict=True), 1):
            for into in range(length):
                if 0 <= start + into < samples:
                    fade = min(1, (into + 0.5) / fade_in, (length - into - 0.5) / fade_out)
                    weight[b, start + into], number[b, start + into] = fade, k
                    noise[b, :, start + into] = BANK.sound(which)[:, into].numpy() * fade
    return noise, weight, number


@given(noises(), st.integers(1, 40))
def test_noises_lie_where_they_belong_by_either_way(row: Row, samples: int) -> None:
    noise, weight, number = by_hand(row, samples)
    values = torch.arange(1.0, 4.0).expand(len(row.start), 3)
    for laid in (row._copied, row._gathered):
        got, fades = laid(BANK, samples)
        np.testing.assert_allclose(got, noise, atol=1e-6)
        np.testing.assert_allclose(fades, weight, atol=1e-6)
    for given_values in (values, values.clone().requires_grad_()):
        spread = row.spread(given_values, samples).detach().numpy()
        assert np.array_equal(spread[number > 0], number[number > 0])


@given(noises(), st.integers(1, 40), st.integers(0, 40))
def test_levels_are_of_what_is_heard_by_either_way(row: Row, samples: int, length: int) -> None:
    sound = torch.rand(len(row.start), 2, samples, generator=torch.Generator().manual_seed(1))
    begin, end = row.ends(torch.full((len(sound),), min(length, samples)))
    for of in (sound, sound.clone().requires_grad_()):
        got: Tensor = stretch_rms(of, begin, end).detach()
        for b, k in np.ndindex(got.shape):
            part = sound[b, :, begin[b, k] : max(begin[b, k], end[b, k])].numpy()
            assert abs(float(got[b, k]) - (np.sqrt((part**2).mean()) if part.size else 0)) < 1e-5
