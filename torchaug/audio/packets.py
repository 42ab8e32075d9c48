"""Packets of a call that do not arrive."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from torchaug.audio.kinds import Wave, taken
from torchaug.image.arguments import number, one_of, whole, within
from torchaug.keys import dense_uniforms, uniform
from torchaug.transform import Sizes

Concealment = Literal["zero", "repeat"]


class PacketLoss(Wave):
    """Lose packets of a call in bursts, and put silence or the last packet that came in their place.

    Whether a packet is lost is a chain of two states (Gilbert, 1960; Elliott's of 1963 with all lost in the bad one): a
    burst ends with each packet by the same chance, and so does the time between two. A packet is lost in all channels.

    >>> lossy = PacketLoss(0.3, 0.3, sample_rate=8000, p=1.0)
    >>> lossy(torch.ones(4, 1, 8000)).shape
    torch.Size([4, 1, 8000])

    Args:
        min_loss: the least share of the packets that is lost, on the long run.
        max_loss: the greatest, below 1.
        burst: packets lost in a row, on average; at least 1 / (1 - max_loss), what independent losses have.
        packet_duration: seconds.
        concealment: "zero": silence; "repeat": the last packet that came, again and again; before there is one, silence.
        sample_rate: in Hz.
        p: chance per sample.

    Parameters per sample: loss, the share on the long run. `lost(u, packets)` tells which.
    """

    uniforms = 3

    def __init__(
        self,
        min_loss: float = 0.02,
        max_loss: float = 0.2,
        burst: float = 2.0,
        packet_duration: float = 0.02,
        concealment: Concealment = "zero",
        *,
        sample_rate: int,
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        who = "PacketLoss"
        self.min_loss, self.max_loss = within((min_loss, max_loss), who, "(min_loss, max_loss)", 0, 1)
        least = 1 / (1 - self.max_loss) if self.max_loss < 1 else float("inf")
        if self.max_loss == 1:
            raise ValueError(f"{who}: max_loss must be below 1, got {max_loss!r}; of nothing there is no last packet")
        self.burst = number(burst, who, "burst", 1)
        if self.burst < least * (1 - 1e-9):
            raise ValueError(
                f"{who}: burst must be at least {least:g} packets, 1 / (1 - max_loss), which independent losses have, got "
                f"{burst!r}"
            )
        self.sample_rate = whole(sample_rate, who, "sample_rate", 1)
        self.packet_duration = number(packet_duration, who, "packet_duration", 0, above=True)
        self.concealment = one_of(concealment, who, "concealment", get_args(Concealment))
        self.packet = max(1, round(self.packet_duration * self.sample_rate))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"loss": uniform(u[:, 0], self.min_loss, self.max_loss)}

    def lost(self, u: Tensor, packets: int) -> Tensor:
        """(B, packets) bool, from `u` (B, uniforms): which packets do not arrive. More packets change none before them."""
        loss = uniform(u[:, :1], self.min_loss, self.max_loss)
        begins, stays = loss / (1 - loss) / self.burst, 1 - 1 / self.burst
        coins = dense_uniforms(u[:, 1:], (packets,))
        # One number a packet: below `begins` it is lost whatever was before, from `stays` on it arrives whatever was before
        # (bursts are long enough for begins <= stays), and between it does as the one before it. So it does as the last
        # packet that was free to decide, and no packet has to wait for another.
        place = torch.arange(packets, device=u.device)
        bad = torch.where(place == 0, coins < loss, coins < begins)
        free = bad | (coins >= stays) | (place == 0)
        return bad.gather(1, torch.where(free, place, 0).cummax(1).values)

    def wave(self, waveform: Tensor, lengths: Tensor, u: Tensor) -> Tensor:
        at = torch.arange(waveform.shape[-1], device=waveform.device)
        packets = max(1, -(-waveform.shape[-1] // self.packet))
        lost, packet = self.lost(u, packets), at // self.packet
        if self.concealment == "zero":
            return torch.where(lost[:, None, packet], torch.zeros_like(waveform), waveform)
        place = torch.arange(packets, device=u.device)
        came = torch.where(lost, -1, place).cummax(1).values[:, packet]
        again = taken(waveform, at - (packet - came) * self.packet)
        return torch.where(came[:, None] < 0, torch.zeros_like(waveform), again)
