"""Silence in the middle of waveforms."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from torchaug.audio.kinds import Wave, taken
from torchaug.audio.pieces import Pieces
from torchaug.audio.ranges import ordered
from torchaug.audio.spans import fade, lengths_in, whole_between, written
from torchaug.image import arguments
from torchaug.transform import Sizes

Location = Literal["random", "start", "end"]


class TimeMask(Wave):
    """Silence a random part of a waveform. Labels stay, as in SpecAugment: what is behind the mask is to be told from around it.

    Park et al., "SpecAugment" (2019), on waveforms.

    >>> TimeMask(0.5, 0.5, fade_duration=0, mask_location="end", p=1.0, sample_rate=8000)(torch.ones(4))
    tensor([1., 1., 0., 0.])

    Args:
        min_band_part: least width, as a share of a sound's own length, in [0, 1].
        max_band_part: greatest width.
        fade_duration: of the fades (half a cosine) at both ends of the silent part, inside of it, in seconds.
        mask_location: "random", "start" or "end".
        p: chance per sample.
        sample_rate: of the waveforms, in Hz.

    Parameters per sample: begin and width in samples, uniform.
    """

    uniforms = 2

    def __init__(
        self,
        min_band_part: float = 0.01,
        max_band_part: float = 0.2,
        fade_duration: float = 0.005,
        mask_location: Location = "random",
        p: float = 0.5,
        *,
        sample_rate: int,
    ) -> None:
        super().__init__(p)
        ordered(min_band_part, max_band_part, "TimeMask", "band_part", 0, 1)
        self.min_band_part, self.max_band_part = min_band_part, max_band_part
        self.fade_duration = arguments.number(fade_duration, "TimeMask", "fade_duration", 0)
        self.mask_location = arguments.one_of(mask_location, "TimeMask", "mask_location", get_args(Location))
        self.sample_rate = arguments.whole(sample_rate, "TimeMask", "sample_rate", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return self._drawn(u, lengths_in(size))

    def _drawn(self, u: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        ends = [(lengths.to(torch.float64) * part).to(torch.int64) for part in (self.min_band_part, self.max_band_part)]
        width = whole_between(u[:, 0], *ends)
        places = {"random": whole_between(u[:, 1], 0, lengths - width), "start": width * 0, "end": lengths - width}
        return {"begin": places[self.mask_location], "width": width}

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        drawn = self._drawn(u, lengths)
        begin, end = drawn["begin"][:, None], (drawn["begin"] + drawn["width"])[:, None]
        heard = torch.cat([torch.zeros_like(begin), end], 1)
        out = Pieces(heard, torch.cat([begin, lengths[:, None]], 1), heard).of(waveform, waveform.shape[-1])
        width = round(self.fade_duration * self.sample_rate)
        near = torch.arange(width, device=waveform.device)
        if not width:
            return out
        into, left = begin + near, end - 1 - near
        both = torch.cat([into, torch.where(left < begin + width, -1, left)], 1)  # none twice
        at = {"random": both, "start": left, "end": into}[self.mask_location]
        depth = {"random": torch.minimum(at - begin, end - 1 - at), "start": end - 1 - at, "end": at - begin}
        silence = fade(depth[self.mask_location].to(waveform.dtype) + 0.5, width)
        return written(out, at, taken(waveform, at) * (1 - silence)[:, None])
