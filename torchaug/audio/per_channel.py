"""Numbers of their own for each channel."""

from __future__ import annotations

import torch
from torch import Tensor

from torchaug.audio.background import through
from torchaug.audio.kinds import Wave
from torchaug.keys import dense_uniforms
from torchaug.transform import Layer, Sizes


class PerChannel(Wave):
    """Apply a transform to each channel of a waveform as if it were a sound of its own, with its own chance and numbers.

    For microphones that differ, or tracks of an instrument each. What other packages call `mode="per_channel"` is this, with
    the `p` of the transform for `p_mode="per_channel"` and that of the wrapper for `p_mode="per_example"`. What a transform
    does with all channels at once, such as to set one level by the loudness of all, it does for each alone.

    >>> from torchaug.audio import Gain, PolarityInversion
    >>> from torchaug.compose import Compose
    >>> flip = PerChannel(Compose([PolarityInversion(p=0.5), Gain(p=0.5)]))
    >>> flip(torch.rand(4, 6, 800)).shape
    torch.Size([4, 6, 800])

    Args:
        channel_transform: a transform of waveforms, or a Compose of such; none that moves sound in time, after which channels
            would no longer fit together.
        p: chance per sample that its channels are transformed, each by the chance of the transform.

    Parameters per sample: of each step, whether it was `applied` and what was drawn, (C, ...) each; names begin with the
    place of the step where there are several.
    """

    uniforms = 2

    def __init__(self, channel_transform: Layer, p: float = 1.0) -> None:
        super().__init__(p)
        if not isinstance(channel_transform, Layer):
            raise TypeError(f"PerChannel: channel_transform must be a transform of torchaug, got {channel_transform!r}")
        for leaf in channel_transform.leaves():
            if not isinstance(leaf, Wave):
                raise TypeError(
                    f"PerChannel: expected transforms of waveforms that move nothing in time, got {type(leaf).__name__}; "
                    "put it beside PerChannel in a Compose"
                )
        self.channel_transform = channel_transform
        self.differentiable = min((leaf.differentiable for leaf in channel_transform.leaves()), default=2)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        if size.channels is None or size.lengths is None:
            raise TypeError("describe: expected params that were drawn for a batch with a waveform")
        own = self._numbers(u, size.channels)
        each = Sizes.of(size.canvas, None, own)._replace(
            lengths=size.lengths.repeat_interleave(size.channels), channels=1
        )
        everyone = own.new_ones(len(own), dtype=torch.bool)
        steps, found = self.channel_transform.leaves(), dict[str, Tensor]()
        for place, (step, call) in enumerate(zip(steps, self.channel_transform.route(own, everyone), strict=True)):
            before = f"{place}_" if len(steps) > 1 else ""
            values = {"applied": call.chosen, **step.drawn(call.u, each)}
            found |= {before + name: value.unflatten(0, (len(u), size.channels)) for name, value in values.items()}
        return found

    def _numbers(self, u: Tensor, channels: int) -> Tensor:
        """(B * channels, columns of the transform)."""
        return dense_uniforms(u, (channels, self.channel_transform.columns)).flatten(0, 1)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        channels = waveform.shape[1]
        alone, each = waveform.flatten(0, 1)[:, None], lengths.repeat_interleave(channels)
        return through(self.channel_transform, alone, each, self._numbers(u, channels)).view_as(waveform)
