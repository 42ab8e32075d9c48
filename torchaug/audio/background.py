"""Recorded noises behind a whole sound."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from torchaug.audio.bank import Sounds, bank_of
from torchaug.audio.kinds import Wave, amplitude, fitted, rms
from torchaug.audio.noise import ratio
from torchaug.audio.ranges import ordered
from torchaug.batch import Batch
from torchaug.image.arguments import one_of
from torchaug.keys import integers, uniform
from torchaug.transform import Layer, Params, Sizes


class AddBackgroundNoise(Wave):
    """Add a piece of a recorded noise to the whole of a sound.

    Which noise and which piece of it are drawn per sample. Of a noise that is longer than the sound the piece is drawn
    among all that lie within it; a shorter one goes on from its beginning where it ends, from any place on. A mono noise goes
    to all channels. A silent sound gets none under "relative", and a piece that is silent adds nothing.

    Args:
        noises: a `SoundBank`; or what makes one: a tensor (N, C, T), a list of tensors (C, T), a folder, a sound file or a
            list of these.
        min_snr_db: decibels that the sound's rms is above that of the piece, for "relative".
        max_snr_db: up to which it is drawn, uniformly.
        noise_rms: "relative" to the sound's rms, or "absolute".
        min_absolute_rms_db: rms of the piece in decibels below full scale, at most 0, for "absolute".
        max_absolute_rms_db: up to which it is drawn, uniformly.
        noise_transform: a transform of waveforms that the pieces go through before their level is set, with numbers of their
            own. Where it changes their length they are cut, or followed by silence.
        p: chance per sample.
        sample_rate: of the waveforms; needed for noises in files.

    Parameters per sample: noise (its place in the bank), offset in samples, and snr_db or rms_db.

    >>> hum = torch.sin(torch.arange(900) / 5)
    >>> noisy = AddBackgroundNoise([hum], noise_rms="absolute", min_absolute_rms_db=-20, max_absolute_rms_db=-20, p=1.0)(
    ...     torch.zeros(2, 1, 4000)
    ... )
    >>> round(float(noisy.square().mean().sqrt()), 4)
    0.1
    """

    def __init__(
        self,
        noises: Sounds,
        min_snr_db: float = 3.0,
        max_snr_db: float = 30.0,
        noise_rms: Literal["relative", "absolute"] = "relative",
        min_absolute_rms_db: float = -45.0,
        max_absolute_rms_db: float = -15.0,
        noise_transform: Layer | None = None,
        p: float = 0.5,
        *,
        sample_rate: int | None = None,
    ) -> None:
        super().__init__(p)
        who = "AddBackgroundNoise"
        self.min_snr_db, self.max_snr_db = ordered(min_snr_db, max_snr_db, who, "snr_db")
        self.noise_rms = one_of(noise_rms, who, "noise_rms", ("relative", "absolute"))
        self.min_absolute_rms_db, self.max_absolute_rms_db = ordered(
            min_absolute_rms_db, max_absolute_rms_db, who, "absolute_rms_db", most=0
        )
        self.noise_transform = a_layer(noise_transform, who)
        self.noises = bank_of(noises, sample_rate, who, "noises")
        self.sample_rate = sample_rate
        self.uniforms = 3 + (0 if noise_transform is None else noise_transform.columns)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        assert size.lengths is not None
        return self.numbers(u, size.lengths)

    def numbers(self, u: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """What `drawn` says, for sounds of `lengths` (B,)."""
        which = integers(u[:, 0], 0, len(self.noises))
        there = self.noises.lengths.to(u.device)[which]
        places = torch.where(there >= lengths, there - lengths + 1, there)
        level = (
            {"snr_db": uniform(u[:, 2], self.min_snr_db, self.max_snr_db)}
            if self.noise_rms == "relative"
            else {"rms_db": uniform(u[:, 2], self.min_absolute_rms_db, self.max_absolute_rms_db)}
        )
        return {"noise": which, "offset": integers(u[:, 1], 0, places), **level}

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        self.noises.check(waveform, "AddBackgroundNoise", "noises")
        numbers = self.numbers(u, lengths)
        # where all noises are longer than the sounds, `offset` lets none go on from its beginning
        cut = self.noises.stretches if waveform.shape[2] <= self.noises.shortest else self.noises.cut
        piece = cut(numbers["noise"], numbers["offset"], waveform.shape[2])
        piece = through(self.noise_transform, piece, lengths, u[:, 3:]).to(waveform.dtype)
        if self.noise_rms == "relative":
            wanted = rms(waveform, lengths) * amplitude(-numbers["snr_db"])[:, None, None]
        else:
            wanted = amplitude(numbers["rms_db"])[:, None, None]
        return torch.addcmul(waveform, piece, ratio(wanted, rms(piece, lengths)).to(waveform.dtype))


def a_layer(layer: Layer | None, who: str) -> Layer | None:
    """The transform for noises, or an error where it is none."""
    if layer is None or (isinstance(layer, Layer) and layer.plain == "waveform"):
        return layer
    raise TypeError(
        f"{who}: noise_transform must be a transform of waveforms of torchaug, or a Compose of them, got {layer!r}"
    )


def through(layer: Layer | None, sounds: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
    """Sounds (B, C, T) after a transform, with uniforms `u` (B, its columns); again of T samples."""
    if layer is None:
        return sounds
    out = layer.play(Batch(waveform=sounds, lengths=lengths), Params(u, lengths=lengths)).waveform
    assert out is not None
    return fitted(out, sounds.shape[-1])
