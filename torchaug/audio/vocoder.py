"""Another duration at the same pitch for each row of a batch: a phase vocoder that tracks peaks without a loop over time.

A frame of what comes out is the frame of the sound around the instant that belongs there, turned in phase so that it goes on
from the frame before (Laroche and Dolson, "Improved phase vocoder time-scale modification of audio", 1999): each spectral
peak goes on from the peak that it was, by as much as it turns in one hop, and its neighbourhood turns with it. A frame's turns
are thus the turns before it, read at other bins, times some more. Two such steps make one of the same form, so the turns of
all frames are found by a scan of logarithmic depth.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from torchaug.audio.rows import pieces, segments

OVERLAP = 4  # frames over each sample; 8 are no better with tracked peaks, for voices and for drums, and cost twice
FAINT = 1e-15  # beside which a product of spectra counts as something
RISE = 4  # of the energy in a window from one hop to the next, where something begins
QUIET = 1e-6  # of a frame's loudest frequency: what is below has no part in its envelope


class Formants(NamedTuple):
    """The envelope of a spectrum, moved so that it is back where it was once the pitch has been shifted.

    Args:
        ratio: (B,) what frequencies will be multiplied by.
        order: samples of the cepstrum that make the envelope: what is closer than the sample rate over this is one formant.
    """

    ratio: Tensor
    order: int

    def gain(self, frames: Tensor) -> Tensor:
        """(B, N, bins) for spectra (B, C, N, bins)."""
        power = _power(frames)
        bins = power.shape[-1]
        level = 0.5 * torch.log(power + QUIET * power.amax(-1, keepdim=True) + FAINT)
        cepstrum = torch.fft.irfft(level, 2 * bins - 2)
        near = torch.arange(2 * bins - 2, device=power.device)
        near = torch.minimum(near, 2 * bins - 2 - near) <= self.order
        envelope = torch.fft.rfft(cepstrum * near).real
        place = (torch.arange(bins, device=power.device) * self.ratio[:, None]).clamp(max=bins - 1).to(power.dtype)
        left = place.floor().clamp(max=bins - 2)
        below, above = (envelope.gather(2, (left.to(torch.int64) + i)[:, None].expand(power.shape)) for i in (0, 1))
        return torch.exp(torch.lerp(below, above, (place - left)[:, None]) - envelope)


def window_size(sample_rate: int) -> int:
    """The power of two nearest to 32 ms, at least 64."""
    return max(64, int(2 ** round(math.log2(0.032 * sample_rate))))


def stretched(
    waveform: Tensor,
    down: Tensor,
    up: Tensor,
    samples: int,
    n_fft: int,
    *,
    locked: bool = True,
    formants: Formants | None = None,
) -> Tensor:
    """Row b `down[b] / up[b]` times as fast, at the same pitch.

    Channels turn together, which keeps the place of what is heard.

    Args:
        waveform: (B, C, T) float32 or float64; it counts as 0 beyond its ends.
        down: (B,) int64 of at least 1.
        up: (B,) int64 of at least 1.
        samples: of what comes out.
        n_fft: samples of a window, a multiple of 16.
        locked: False for the plain vocoder, in which each bin turns for itself: `torchaudio.functional.phase_vocoder`.
        formants: how to keep the envelope of the spectrum where it is in spite of a shift of pitch that will follow.

    Returns:
        (B, C, samples).
    """
    if not len(waveform):  # of which no Fourier transform can be taken
        return waveform.new_zeros(0, waveform.shape[1], samples)
    hop, bins = n_fft // OVERLAP, n_fft // 2 + 1
    window = torch.hann_window(n_fft, dtype=waveform.dtype, device=waveform.device)
    end = waveform.shape[-1] + n_fft // 2 + hop  # frames around it see nothing
    padded = functional.pad(waveform, (n_fft // 2 + hop, n_fft + hop))
    none = waveform.new_zeros(*waveform.shape[:2], 1, bins)
    before = torch.complex(none, none)
    turned = _unit(before[:, 0])
    tail = waveform.new_zeros(*waveform.shape[:2], OVERLAP - 1, hop)
    count = -(-(samples + n_fft // 2) // hop)
    whole = waveform.new_empty(*waveform.shape[:2], count, hop)
    for first, stop in pieces(count, 8 * n_fft * none[..., 0, 0].numel()):
        steps = torch.arange(first, stop, device=down.device)
        early, late, frames = _frames(padded, window, steps, down, up, end, locked)
        turns = _unit(_summed(torch.cat([before, late[:, :, :-1]], 2) * early.conj()))
        sources = _sources(early, late) if locked else torch.arange(bins + 1, device=down.device).expand(turns.shape)
        before = late[:, :, -1:]
        del early, late
        turned = _turned(turned, sources, turns)
        factor = turned[..., :bins] if formants is None else turned[..., :bins] * formants.gain(frames)
        turned = turned[:, -1:]
        frames = frames * factor[:, None]
        sound = torch.fft.irfft(frames, n_fft).mul_(window)
        done = _added(sound.unflatten(-1, (OVERLAP, hop)), tail)
        whole[:, :, first:stop] = done[:, :, : stop - first]
        tail = done[:, :, stop - first :]
    out = whole.flatten(2)[..., n_fft // 2 :][..., :samples]
    return out.div_(_overlap(window, samples))


def _frames(
    padded: Tensor, window: Tensor, steps: Tensor, down: Tensor, up: Tensor, end: int, locked: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Spectra (B, C, N, bins) one hop apart, and the frame that comes out before it is turned."""
    hop = len(window) // OVERLAP
    place = steps * down[:, None]
    if locked:  # the later one where the frame belongs, to a sample
        at = torch.div(place * hop + up[:, None] // 2, up[:, None], rounding_mode="floor").clamp(max=end) - hop
    else:  # on the grid of an STFT, around it
        at = (torch.div(place, up[:, None], rounding_mode="floor") * hop).clamp(max=end - hop)
    early, late = (
        torch.fft.rfft(segments(padded, (at + more)[:, None], len(window)).mul_(window)) for more in (hop, 2 * hop)
    )
    if locked:
        return early, late, late
    share = ((place % up[:, None]) / up[:, None])[:, None, :, None].to(window.dtype)
    return early, late, torch.polar(torch.lerp(early.abs(), late.abs(), share), early.angle())


def _summed(channels: Tensor) -> Tensor:
    """(B, C, ...) summed over channels."""
    return channels[:, 0] if channels.shape[1] == 1 else channels.sum(1)


def _power(frames: Tensor) -> Tensor:
    """(B, N, bins) of all channels of spectra (B, C, N, bins)."""
    return _summed(torch.addcmul(frames.real.square(), frames.imag, frames.imag))


def _unit(values: Tensor) -> Tensor:
    """Numbers of size 1 at the angles of complex ones, 1 for 0, and behind the last bin one more 1."""
    real, imaginary = functional.pad(values.real + FAINT, (0, 1), value=1.0), functional.pad(values.imag, (0, 1))
    scale = torch.addcmul(real.square(), imaginary, imaginary).rsqrt_()
    return torch.complex(real * scale, imaginary * scale)


def _sources(early: Tensor, late: Tensor) -> Tensor:
    """For each bin of spectra (B, C, N, bins), and one behind, that with which it turns, (B, N, bins + 1) int64.

    It is the nearest peak's, the largest of five. Where the energy rises fourfold within a hop something begins: there it is the
    one behind, which never turns, and the frame stays as it is in the sound (Duxbury, Davies and Sandler, "Improved time-scaling
    of musical audio using phase locking at transients", 2002).
    """
    power = _power(late)
    bins = power.shape[-1]
    begins = RISE * _power(early).sum(-1, keepdim=True) < power.sum(-1, keepdim=True)
    peak = power >= functional.max_pool1d(power, 5, 1, 2)
    count = torch.arange(bins, dtype=torch.int32, device=power.device)
    far = count + 2 * bins  # so that where there is no peak on a side, 0, it counts as far away
    left = (peak * far).cummax(-1).values.sub_(2 * bins)
    right = (peak.flip(-1) * far).cummax(-1).values.flip(-1).neg_().add_(3 * bins - 1)
    nearer = 2 * count > left + right
    nearest = right.sub_(left).mul_(nearer).add_(left).clamp_(0, bins - 1)  # of NaN there is no peak on either side
    nearest = nearest.mul_(~begins).add_(begins * bins)
    return functional.pad(nearest, (0, 1), value=bins).to(torch.int64)


def _turned(before: Tensor, sources: Tensor, turns: Tensor) -> Tensor:
    """How far frames (B, N, bins + 1) are turned: as far as the frame before, (B, 1, bins + 1) at first, at the source, and
    what the source turns."""
    turns = turns.gather(2, sources)
    first = before.gather(2, sources[:, :1]) * turns[:, :1]
    return _scanned(sources, torch.cat([first, turns[:, 1:]], 1))


def _scanned(sources: Tensor, turns: Tensor) -> Tensor:
    """Of steps "read at `sources`, times `turns`", one after the other, all products from the first on."""
    count = turns.shape[1]
    if count == 1:
        return turns
    early, late, rest = slice(0, count - 1, 2), slice(1, None, 2), slice(2, None, 2)
    pairs = sources[:, early].gather(2, sources[:, late])
    odd = _scanned(pairs, turns[:, early].gather(2, sources[:, late]) * turns[:, late])
    whole = torch.empty_like(turns)
    whole[:, 0] = turns[:, 0]
    whole[:, late] = odd
    whole[:, rest] = odd[:, : (count - 1) // 2].gather(2, sources[:, rest]) * turns[:, rest]
    return whole


def _added(blocks: Tensor, tail: Tensor) -> Tensor:
    """Frames in blocks of one hop, (B, C, N, OVERLAP, hop), added where they overlap, after what is left of those before."""
    done = functional.pad(tail, (0, 0, 0, blocks.shape[2]))
    for block in range(OVERLAP):
        done[:, :, block : block + blocks.shape[2]] += blocks[:, :, :, block]
    return done


def _overlap(window: Tensor, samples: int) -> Tensor:
    """The sum of squared windows over each of the first samples; the first frame's middle is sample 0."""
    steady = window.square().sum() / (len(window) // OVERLAP)
    start = window.square().view(OVERLAP, -1).cumsum(0).flatten()[len(window) // 2 :][:samples]
    return torch.cat([start, steady.expand(max(0, samples - len(start)))])
