"""A codebook of vectors (van den Oord et al., arXiv 1711.00937), and the order in which its codes come in an image."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from torchaug.keys import integers, uniforms

DEAD = 0.1
"""A code used less often than this share of the mean is dead."""


class Quantizer(nn.Module):
    """Replaces each vector by the nearest of a codebook, which follows the vectors as a moving average.

    The codebook has no gradients: `update` moves each code to the mean of the vectors that chose it, and puts dead codes
    where vectors of the batch are: at first all codes but one. Which vectors, is a function of keys.

    Args:
        codes: how many.
        size: of a vector.
        decay: share of the averages that is kept at each update.

    Shape: vectors (..., size) to codes (...,) int64 and back.

    >>> quantizer = Quantizer(codes=2, size=1)
    >>> vectors = torch.tensor([[5.0], [7.0]])
    >>> quantizer.update(vectors, quantizer.nearest(vectors), keys=torch.tensor([1, 2]))
    >>> len(quantizer.nearest(vectors).unique())
    2
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, codes: int, size: int, decay: float = 0.99) -> None:
        super().__init__()
        if codes < 2 or size < 1 or not 0 <= decay < 1:
            raise ValueError(
                f"Quantizer: codes must be at least 2, size at least 1 and decay in [0, 1), got {codes}, {size}, {decay}"
            )
        self.decay = decay
        self.register_buffer("codebook", torch.zeros(codes, size))
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, size))

    def nearest(self, vectors: Tensor) -> Tensor:
        """The code of each vector."""
        with torch.autocast(vectors.device.type, enabled=False):
            return torch.cdist(vectors.flatten(0, -2), self.codebook).argmin(1).view(vectors.shape[:-1])

    def vectors(self, codes: Tensor) -> Tensor:
        """The vector of each code."""
        return self.codebook[codes]

    @torch.no_grad()
    def update(self, vectors: Tensor, codes: Tensor, keys: Tensor) -> None:
        """Moves the codes towards the vectors that chose them: vectors (N, size), codes (N,), keys (at least 1,)."""
        chosen = F.one_hot(codes, len(self.codebook)).to(vectors.dtype)
        with torch.autocast(vectors.device.type, enabled=False):
            counts, sums = chosen.sum(0), chosen.T @ vectors
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(counts)
            dist.all_reduce(sums)
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        mean = self.counts.mean()
        dead = self.counts < DEAD * mean
        u = uniforms(keys[:1], len(self.codebook))[0]
        fresh = vectors[integers(u, 0, len(vectors))]
        self.counts.copy_(torch.where(dead, mean, self.counts))
        self.sums.copy_(torch.where(dead[:, None], mean * fresh, self.sums))
        self.codebook.copy_(self.sums / self.counts[:, None])


class CodePrior(nn.Module):
    """p(codes | class), code by code: a recurrent network that sees the class and the codes before.

    Args:
        codes: how many there are.
        places: codes of an image.
        num_classes: labels are 0 to num_classes - 1.
        hidden: width of the network.

    >>> prior = CodePrior(codes=5, places=3, num_classes=2, hidden=8)
    >>> codes = prior.sample(torch.tensor([0, 1]), torch.rand(2, 3))
    >>> codes.shape, prior.log_prob(codes, torch.tensor([0, 1])).shape
    (torch.Size([2, 3]), torch.Size([2]))
    """

    def __init__(self, codes: int, places: int, num_classes: int, hidden: int = 128) -> None:
        super().__init__()
        self.codes, self.places = codes, places
        self.before = nn.Embedding(codes + 1, hidden)  # the last stands for the start
        self.place = nn.Parameter(torch.zeros(places, hidden))
        self.label = nn.Embedding(num_classes, hidden)
        self.network = nn.GRU(hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, codes)

    def log_prob(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Nats of codes (B, places): (B,)."""
        start = codes.new_full((len(codes), 1), self.codes)
        seen = self.before(torch.cat([start, codes[:, :-1]], 1)) + self.place + self.label(labels)[:, None]
        logits = self.out(self.network(seen)[0]).to(self.place.dtype)  # not in half precision
        return -F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="none").view(codes.shape).sum(1)

    @torch.no_grad()
    def sample(self, labels: Tensor, u: Tensor, temperature: float = 1.0) -> Tensor:
        """Codes (B, places) for labels (B,), a function of uniform numbers u (B, places) in [0, 1)."""
        code, hidden, found = torch.full_like(labels, self.codes), None, []
        for place in range(self.places):
            seen = self.before(code) + self.place[place] + self.label(labels)
            out, hidden = self.network(seen[:, None], hidden)
            edges = (self.out(out[:, 0]) / temperature).softmax(1).cumsum(1)
            code = (u[:, place, None] >= edges).sum(1).clamp(max=self.codes - 1)
            found.append(code)
        return torch.stack(found, 1)
