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
SHARE = 6  # numbers per sample of a window that a frame takes on the way
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
    """Nearest to 48 ms of powers of two and three times such, which transform quickly; at least 64.

    Shorter ones cannot tell the partials of low voices apart: of speech, 32 ms are worse by half.
    """
    exponent = math.floor(math.log2(0.048 * sample_rate))
    sizes: list[int] = [2**exponent, 3 * 2 ** (exponent - 1), 2 ** (exponent + 1)]
    return max(64, min(sizes, key=lambda size: abs(math.log2(size / (0.048 * sample_rate)))))


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
    hop = n_fft // OVERLAP
    window = torch.hann_window(n_fft, dtype=waveform.dtype, device=waveform.device)
    source = _Source(functional.pad(waveform, (n_fft // 2 + hop, n_fft + hop)), window, down, up, locked)
    state = _State.start(source)
    count = -(-(samples + n_fft // 2) // hop)
    whole = waveform.new_empty(*waveform.shape[:2], count, hop)
    for first, stop in pieces(count, SHARE * n_fft * waveform.shape[0] * waveform.shape[1]):
        steps = torch.arange(first, stop, device=down.device)
        whole[:, :, first:stop], state = _piece(source, steps, state, formants)
    out = whole.flatten(2)[..., n_fft // 2 :][..., :samples]
    return out.div_(_overlap(window, samples))


class _Source(NamedTuple):
    """A sound, (B, C, T) padded for the frames at its ends, and how fast to go through it."""

    padded: Tensor
    window: Tensor
    down: Tensor
    up: Tensor
    locked: bool

    def frames(self, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Spectra (B, C, N, bins) one hop apart, and the frame that comes out before it is turned."""
        n_fft = len(self.window)
        hop = n_fft // OVERLAP
        end = self.padded.shape[-1] - n_fft - hop  # frames around it see nothing
        place = steps * self.down[:, None]
        if self.locked:  # the later one where the frame belongs, to a sample
            at = torch.div(place * hop + self.up[:, None] // 2, self.up[:, None], rounding_mode="floor")
        else:  # on the grid of an STFT, around it
            at = (torch.div(place, self.up[:, None], rounding_mode="floor") + 1) * hop
        at = at.clamp(max=end)[:, None]
        early, late = (
            torch.fft.rfft(segments(self.padded, start, n_fft).mul_(self.window)) for start in (at, at + hop)
        )
        if self.locked:
            return early, late, late
        share = ((place % self.up[:, None]) / self.up[:, None])[:, None, :, None].to(self.window.dtype)
        return early, late, torch.polar(torch.lerp(early.abs(), late.abs(), share), early.angle())


class _State(NamedTuple):
    """What a piece needs of the one before: its last frame, how far that was turned, and what overlaps the next."""

    late: Tensor
    turned: Tensor
    tail: Tensor

    @staticmethod
    def start(source: _Source) -> _State:
        n_fft = len(source.window)
        none = source.padded.new_zeros(*source.padded.shape[:2], 1, n_fft // 2 + 1)
        late = torch.complex(none, none)
        tail = source.padded.new_zeros(*none.shape[:2], OVERLAP - 1, n_fft // OVERLAP)
        return _State(late, _unit(late[:, 0]), tail)


def _piece(source: _Source, steps: Tensor, state: _State, formants: Formants | None) -> tuple[Tensor, _State]:
    """Sound of some frames, (B, C, N, hop), and what the next piece needs: copies, which do not keep the rest in memory."""
    n_fft, count = len(source.window), len(steps)
    early, late, frames = source.frames(steps)
    turns = _unit(_summed(torch.cat([state.late, late[:, :, :-1]], 2) * early.conj()))
    sources = _sources(early, late) if source.locked else torch.arange(turns.shape[2], device=steps.device)
    sources = sources.expand(turns.shape)
    last = late[:, :, -1:].clone()
    del early, late
    turns = turns.gather(2, sources)
    turns[:, :1] = state.turned.gather(2, sources[:, :1]) * turns[:, :1].clone()  # goes on from the piece before
    turned = _scanned(sources, turns)
    del sources, turns
    factor = turned[..., :-1] if formants is None else turned[..., :-1] * formants.gain(frames)
    sound = torch.fft.irfft(frames * factor[:, None], n_fft).mul_(source.window)
    done = _added(sound.unflatten(-1, (OVERLAP, -1)), state.tail)
    return done[:, :, :count], _State(last, turned[:, -1:].clone(), done[:, :, count:].clone())


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
    begins = RISE * torch.view_as_real(early).square().sum((1, 3, 4))[..., None] < power.sum(-1, keepdim=True)
    peak = power >= functional.max_pool1d(power, 5, 1, 2)
    count = torch.arange(bins, dtype=torch.int32, device=power.device)
    far = count + 2 * bins  # so that where there is no peak on a side, 0, it counts as far away
    left = (peak * far).cummax(-1).values.sub_(2 * bins)
    right = (peak.flip(-1) * far).cummax(-1).values.flip(-1).neg_().add_(3 * bins - 1)
    nearer = 2 * count > left + right
    nearest = right.sub_(left).mul_(nearer).add_(left).clamp_(0, bins - 1)  # of NaN there is no peak on either side
    nearest = nearest.mul_(~begins).add_(begins * bins)
    return functional.pad(nearest, (0, 1), value=bins).to(torch.int64)


def _scanned(sources: Tensor, turns: Tensor) -> Tensor:
    """How far frames (B, N, bins + 1) are turned: as far as the one before is at `sources`, times `turns`, which is how far the
    first is turned."""
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
