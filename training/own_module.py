"""A generator module of the user's own as a `Synthesizer`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from torchaug.data.bank.tables import table_attributes
from torchaug.data.tables import TableDataset
from torchaug.models.latents import latents, on_circle, way
from torchaug.training.plan import class_keys
from torchaug.training.seeded import seeded
from torchaug.training.synthesizer import Columns, Synthesizer, check_settings

_RANKS = {"image": 4, "waveform": 3, "table": 2}
"""Dimensions of a batch of each content."""


class ModuleSynthesizer(Synthesizer, nn.Module):
    """A generator module of the user's own: `module(z, labels)`, or `module(z)` without classes.

    It must treat each row alone, as networks do in `eval()`: then sample 17 is the same in any batch. It is in `eval()`
    while it makes samples, and then as it was. One that draws noise of its own, from the global states of torch or numpy,
    is run for each sample by itself, with these states set from the sample's key and put back: slower, but the same on
    every run (a bank is computed in float64, of which torch draws other noise than in float32).

    Args:
        module: latents (B, latent) and, with classes, labels (B,) int64 to content (B, ...).
        classes: the name of each class; empty where samples have no labels.
        latent: size of the standard normal latents.
        content: "image", "waveform" or "table", what the module makes: images (B, C, H, W), sounds (B, C, T) in [-1, 1],
            rows (B, F + K) of numbers and then codes of categories, as whole numbers.
        value_range: the values of images that stand for black and white.
        sample_rate: of sounds, in Hz; they need one.
        like: a table whose columns those of the rows are; they need one.

    Raises:
        ValueError: arguments out of range, or not of this content; samples that are not of the shape of their content, or
            not finite; codes that stand for nothing.

    >>> layer = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Unflatten(1, (3, 2, 2)))
    >>> ModuleSynthesizer(layer, latent=4).sample(5).shape
    torch.Size([5, 3, 2, 2])
    """

    def __init__(
        self,
        module: nn.Module,
        classes: Sequence[str] = (),
        *,
        latent: int,
        content: str = "image",
        value_range: tuple[float, float] = (-1.0, 1.0),
        sample_rate: int | None = None,
        like: TableDataset | None = None,
    ) -> None:
        super().__init__()
        low, high = value_range
        if latent < 1 or content not in _RANKS or not low < high:
            raise ValueError(
                f"ModuleSynthesizer: latent must be at least 1, content one of {', '.join(_RANKS)} and value_range rising, "
                f"got {latent}, {content!r} and {value_range}"
            )
        _check_about(content, classes, sample_rate, like)
        self.module, self.classes, self.latent = module, list(classes), latent
        self.content, self.value_range = content, value_range
        self._attributes = {} if like is None else table_attributes(like)
        if sample_rate is not None:
            self._attributes["sample_rate"] = sample_rate
        self._row = None if like is None else like.subset([0])

    @property
    def attributes(self) -> dict[str, Any]:
        return self._attributes

    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> Columns:
        check_settings("ModuleSynthesizer.make", settings, ())
        return self._columns(self._latents(keys), labels, keys)

    def natural(self, columns: Columns, labels: Tensor) -> Any:
        if self._row is None:
            return super().natural(columns, labels)
        return self._row.with_table(columns["table"], labels if self.classes else None)

    @torch.no_grad()
    def interpolate(
        self, first: int, second: int, steps: int = 8, *, labels: int | str = 0, seed: int = 0, **settings: Any
    ) -> Any:
        """Samples on the great circle between the latents of two of a class; noise of the module's own is the first one's.

        Raises:
            ValueError: less than 2 steps, or a class that it does not know.
        """
        check_settings("ModuleSynthesizer.interpolate", settings, ())
        shares = way("ModuleSynthesizer.interpolate", steps)
        number, device = self.class_of(labels), self.device_of_samples
        ends = class_keys(torch.full((2,), number), torch.tensor([first, second]), seed).to(device)
        a, b = self._latents(ends).split(1)
        z = torch.cat([on_circle(a, b, share) for share in shares])
        numbers = torch.full((steps,), number)
        return self.natural(self._columns(z, numbers.to(device), ends[:1].expand(steps)), numbers)

    def _latents(self, keys: Tensor) -> Tensor:
        parameter = next(self.module.parameters(), None)
        return latents(keys, self.latent, torch.float32 if parameter is None else parameter.dtype)

    def _columns(self, z: Tensor, labels: Tensor, keys: Tensor) -> Columns:
        with _in_eval(self.module):
            with seeded(0, z.device) as drawn:
                made = self._run(z, labels)
                alone = drawn()
            if alone:
                rows = []
                for place, key in enumerate(keys.tolist()):
                    with seeded(key, z.device):
                        rows.append(self._run(z[place : place + 1], labels[place : place + 1]))
                made = torch.cat(rows)
        if self.content == "waveform":
            return {"waveform": made.to(torch.float32)}
        if self._row is not None:
            return {"table": _checked_rows(made.to(torch.float64), self._row)}
        low, high = self.value_range
        return {"image": ((made - low) / (high - low) * 255).round().clamp(0, 255).to(torch.uint8)}

    def _run(self, z: Tensor, labels: Tensor) -> Tensor:
        """What the module makes of latents, if that is content."""
        made = self.module(z, labels) if self.classes else self.module(z)
        rank = _RANKS[self.content]
        if not isinstance(made, Tensor) or made.ndim != rank or len(made) != len(z):
            got = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise ValueError(
                f"ModuleSynthesizer: expected the module to make a {self.content} of {rank - 1} dimensions for each of "
                f"{len(z)} latents, got {got}"
            )
        if not bool(made.isfinite().all()):
            raise ValueError("ModuleSynthesizer: expected finite samples, got NaN or infinity from the module")
        return made


def _check_about(content: str, classes: Sequence[str], sample_rate: int | None, like: TableDataset | None) -> None:
    """Refuses sounds without a rate and rows without columns, which nobody could read from a bank, and the reverse."""
    whole = isinstance(sample_rate, int) and not isinstance(sample_rate, bool) and sample_rate >= 1
    if (content == "waveform") != (sample_rate is not None) or (sample_rate is not None and not whole):
        raise ValueError(
            f"ModuleSynthesizer: sample_rate must be whole and at least 1 for waveforms, and None for others, got "
            f"{sample_rate!r} for content {content!r}"
        )
    if (content == "table") != (like is not None):
        raise ValueError(
            f"ModuleSynthesizer: like must be a table with the columns of the rows for tables, and None for others, got "
            f"{type(like).__name__} for content {content!r}"
        )
    if like is not None and classes and list(classes) != like.classes:
        raise ValueError(
            f"ModuleSynthesizer: classes must be those of like, or none, got {', '.join(classes)} for "
            f"{', '.join(like.classes or ['none'])}"
        )


def _checked_rows(rows: Tensor, like: TableDataset) -> Tensor:
    """Rows (B, F + K), if they are as wide as those of `like` and all codes stand for categories."""
    if rows.shape[1] != len(like.columns):
        names = ", ".join(column.name for column in like.columns)
        raise ValueError(
            f"ModuleSynthesizer: expected rows of {len(like.columns)} columns ({names}), got {rows.shape[1]}"
        )
    for column, values in zip(like.columns, rows.T, strict=True):
        codes = len(column.categories)
        wrong = (values != values.round()) | (values < 0) | (values >= codes)
        if column.kind == "categorical" and bool(wrong.any()):
            raise ValueError(
                f"ModuleSynthesizer: column {column.name!r}: expected codes, whole numbers in [0, {codes}), got "
                f"{float(values[wrong][0])}; take the argmax or round in the module"
            )
    return rows


@contextmanager
def _in_eval(module: nn.Module) -> Iterator[None]:
    """Puts a module and all in it into `eval()`, and each back as it was."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training
