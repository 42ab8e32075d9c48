"""What makes samples, whatever they are: the one protocol through which generators meet banks, mixing and the gate."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from torchaug.keys import sample_keys, uniforms
from torchaug.training.plan import Counts, check_seen, class_keys, class_number, seen_classes
from torchaug.training.settings import plain

if TYPE_CHECKING:
    from torchaug.data.bank import Bank

Columns = dict[str, Tensor]
Labels = int | str | Sequence[int] | Sequence[str] | Tensor | np.ndarray[Any, Any] | None
"""What `sample` takes for the classes."""
AT_ONCE = 256
"""Samples made at once, where nothing is known of their size."""


class Synthesizer(ABC):
    """A source of samples of known classes.

    To make one, say what the `classes` are and implement `make`; `natural` too where its default does not fit. A torch
    module that is a `Synthesizer` needs no more. All generators of torchaug are, and so are the adapters of
    `torchaug.training.adapters`.

    >>> class Grey(Synthesizer, nn.Module):
    ...     classes = ["dark", "light"]
    ...     def make(self, labels, keys):
    ...         level = 40 + 120 * labels + keys % 40
    ...         return {"image": level.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)}
    >>> Grey().sample(3, "light").shape
    torch.Size([3, 1, 4, 4])
    """

    classes: Sequence[str] = ()
    """The name of each class; empty where samples have no labels."""
    rowwise: bool = True
    """Whether a sample is a function of its label and key alone; where not, a bank depends on its shard size too."""

    @abstractmethod
    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> Columns:
        """The samples of labels and keys, as columns of a bank.

        Args:
            labels: (B,) int64 class numbers; 0 where there are no classes.
            keys: (B,) int64, the randomness of each sample.
            settings: of this generator, such as `truncation`; one it does not know raises TypeError.

        Returns:
            {"image": (B, C, H, W) uint8}, {"waveform": (B, C, T) float32} or {"table": (B, F + K) float64}. Row i is a
            function of labels[i] and keys[i] alone (`rowwise`).
        """

    @property
    def attributes(self) -> dict[str, Any]:
        """What all samples share, as JSON, for the bank: {"sample_rate": 16000}."""
        return {}

    @property
    def samples_at_once(self) -> int:
        """How many samples `sample` makes at a time, so that they have room; all of them where not `rowwise`."""
        return AT_ONCE

    @property
    def shares(self) -> list[float] | None:
        """The share of each class in the training data; None where it is not known. A class with 0 cannot be asked for."""
        return None

    def natural(self, columns: Columns, labels: Tensor) -> Any:
        """Columns in the form that a user wants: images float in [0, 1], anything else the only column as it is."""
        (content,) = columns.values()
        return content.float() / 255 if content.dtype == torch.uint8 else content

    def sample(self, n: int, labels: Labels = None, *, seed: int = 0, **settings: Any) -> Any:
        """`n` samples; the first of each class are those of a bank of the same seed, up to rounding.

        Args:
            n: how many, at least 1.
            labels: one class, by number or name; (n,) of them, a list, a tensor or an array; or None: classes as often as in
                the training data, where these are known, else all equally often.
            seed: of the samples.
            settings: see `make`.

        Returns:
            What `natural` makes: images (n, C, H, W) in [0, 1], waveforms (n, C, T), a `TableDataset`.

        Raises:
            ValueError: a class that the generator does not know or was trained on no sample of, or labels that are not (n,).
        """
        n, seed = plain(n), plain(seed)
        numbers = self._numbers(n, labels, seed)
        places = torch.empty_like(numbers)
        for number in numbers.unique().tolist():  # each sample's place among those of its class, as in a bank
            rows = numbers == number
            places[rows] = torch.arange(int(rows.sum()))
        with torch.no_grad():
            columns = self._made(numbers, class_keys(numbers, places, seed), settings)
        return self.natural(columns, numbers)

    def _made(self, numbers: Tensor, keys: Tensor, settings: Mapping[str, Any]) -> Columns:
        """What `make` makes, a part at a time."""
        size, device = self.samples_at_once if self.rowwise else len(numbers), self.device_of_samples
        parts = zip(numbers.to(device).split(size), keys.to(device).split(size), strict=True)
        made = [self.make(*part, **settings) for part in parts]
        return made[0] if len(made) == 1 else {name: torch.cat([part[name] for part in made]) for name in made[0]}

    def synthesize(self, counts: Counts, path: str | Path, *, seed: int = 0, **options: Any) -> Bank | None:
        """A bank of `counts[c]` samples of each class c; see `torchaug.training.synthesize.synthesize`."""
        from torchaug.training.synthesize import synthesize

        bank: Bank | None = synthesize(self, counts, path, seed=seed, **options)
        return bank

    def interpolate(
        self, first: int, second: int, steps: int = 8, *, labels: int | str = 0, seed: int = 0, **settings: Any
    ) -> Any:
        """Samples on the way between two of a class, from sample number `first` to number `second`, (steps, ...).

        Raises:
            TypeError: this generator has no space to go through.
        """
        raise TypeError(f"{type(self).__name__}.interpolate: it has no latent space")

    def score(self, content: Any, labels: Tensor | None = None) -> Tensor:
        """How well samples fit what was learnt, (B,), more is better; to compare samples of one generator.

        Args:
            content: samples as `sample` gives them.
            labels: (B,) class numbers; where there are no classes they may be left out.

        Raises:
            TypeError: this generator does not judge.
        """
        raise TypeError(f"{type(self).__name__}.score: it does not judge samples")

    @staticmethod
    def load(path: str | Path) -> Synthesizer:
        """The generator in a checkpoint of torchaug; see `torchaug.training.load.load_generator`."""
        from torchaug.training.load import load_generator

        return load_generator(path)

    def exact(self, dtype: torch.dtype, device: torch.device | None = None) -> Synthesizer:
        """What computes a bank: a copy in `dtype` on `device`, or itself where it is no module."""
        if not isinstance(self, nn.Module):
            return self
        return deepcopy(self).to(device=device, dtype=dtype).eval()

    def digest(self) -> str:
        """The sha256 of what samples depend on besides labels and keys, in hexadecimal: of a module's weights."""
        if not isinstance(self, nn.Module):
            raise TypeError(f"{type(self).__name__}: expected a torch module, or a class with its own digest()")
        digest = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            if isinstance(value, Tensor):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
                digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
            else:  # what a module keeps besides tensors: `get_extra_state`
                digest.update(f"{name} {value!r} ".encode())
        return digest.hexdigest()

    def class_of(self, label: int | str) -> int:
        """The number of a class, by number or name.

        Raises:
            ValueError: a class that the generator does not know, or was trained on no sample of.
        """
        who = type(self).__name__
        number = class_number(self.classes, label, who)
        check_seen(self.classes, self.shares, number, who)
        return number

    @property
    def trained_classes(self) -> list[str]:
        """The names of the classes that it was trained on: all `classes` where their shares are not known."""
        return [self.classes[number] for number in seen_classes(self.classes, self.shares)] if self.classes else []

    @property
    def device_of_samples(self) -> torch.device:
        """Where samples are made."""
        parameter = next(self.parameters(), None) if isinstance(self, nn.Module) else None
        return torch.device("cpu") if parameter is None else parameter.device

    def _numbers(self, n: int, labels: Labels, seed: int) -> Tensor:
        who = f"{type(self).__name__}.sample"
        if n < 1:
            raise ValueError(f"{who}: n must be at least 1, got {n}")
        if isinstance(labels, (Tensor, np.ndarray, np.generic)):
            labels = labels.tolist()
        if isinstance(labels, (list, tuple)):
            if len(labels) != n or any(isinstance(label, (list, tuple)) for label in labels):
                raise ValueError(f"{who}: labels must be ({n},), a class for each sample, got {_shape(labels)}")
            found = {label: self.class_of(label) for label in set(labels)}
            return torch.tensor([found[label] for label in labels])
        if labels is not None:
            return torch.full((n,), self.class_of(cast("int | str", labels)))
        shares = self.shares or [1.0] * max(1, len(self.classes))
        edges = torch.tensor(shares, dtype=torch.float64).cumsum(0)
        u = uniforms(sample_keys(torch.arange(n), seed=seed), 1)[:, 0].double()
        return torch.searchsorted(edges, u * edges[-1], right=True).clamp(max=len(shares) - 1)


def _shape(nested: Any) -> tuple[int, ...]:
    """How long lists in lists are: the first of each.

    >>> _shape([[1, 2, 3], [4, 5, 6]])
    (2, 3)
    """
    return (len(nested), *(_shape(nested[0]) if nested else ())) if isinstance(nested, (list, tuple)) else ()


def check_settings(who: str, settings: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuses settings that a generator does not know.

    >>> check_settings("ImageVAE", {"prior": "normal"}, ["prior"])
    """
    unknown = [name for name in settings if name not in known]
    if unknown:
        allowed = ", ".join(known) or "no settings"
        raise TypeError(f"{who}: expected {allowed}, got {', '.join(unknown)}")
