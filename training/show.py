"""Samples for a person's eye and ear, of whatever a generator makes."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision.utils import make_grid, save_image

from torchaug.audio.files import pcm_wav
from torchaug.data.tables import TableDataset
from torchaug.keys import sample_keys
from torchaug.training.generator import LitGenerator
from torchaug.training.synthesizer import Columns

Settings = Mapping[str, Any]
WINDOW = 512
"""Samples of a Fourier transform, in pictures of sounds."""


class Few(NamedTuple):
    """Some samples: columns as of a bank, their labels, and how many of a class there are."""

    columns: Columns
    labels: Tensor
    per_class: int


@torch.no_grad()
def make_few(generator: LitGenerator, per_class: int, settings: Sequence[Settings] | None = None) -> Few:
    """Samples of each class, the same latents each time, on the CPU.

    Args:
        generator: in training.
        per_class: samples of each class.
        settings: of `make`; each makes samples of all classes, after those before it. None: the generator's `examples`.
    """
    generator.prepare_samples()
    labels = torch.arange(max(1, len(generator.classes))).repeat_interleave(per_class)
    keys, device = sample_keys(torch.arange(len(labels))), generator.device
    chosen = generator.examples() if settings is None else settings
    parts = [generator.make(labels.to(device), keys.to(device), **each) for each in chosen]
    columns = {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}
    return Few(columns, labels.repeat(len(parts)), per_class)


def draw(generator: LitGenerator, few: Few, path: Path) -> Tensor | None:
    """Writes samples beside `path`, and returns the picture, if there is one, (3, H, W) in [0, 1].

    Images: path.png, a row for each class, see `in_colour`. Sounds: path.png of their spectrograms, in the same way, and
    path.wav, one after the other. Tables: path.csv, class after class. Without classes all are in one row.
    """
    columns = few.columns
    if "table" in columns:
        write_rows(generator.natural(columns, few.labels), path.with_name(path.name + ".csv"))
        return None
    if "waveform" in columns:
        sounds = columns["waveform"]
        write_wav(sounds, int(generator.attributes["sample_rate"]), path.with_name(path.name + ".wav"))
        images = spectrograms(sounds)
    else:
        images = in_colour(columns["image"].float() / 255)
    picture: Tensor = make_grid(images, nrow=few.per_class, padding=1)
    save_image(picture, path.with_name(path.name + ".png"))
    return picture


def in_colour(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as pictures: one channel is grey, three are colours, else each is grey, one beside the other.

    >>> in_colour(torch.rand(2, 3, 8, 8)).shape, in_colour(torch.rand(2, 5, 8, 9)).shape
    (torch.Size([2, 3, 8, 8]), torch.Size([2, 1, 8, 45]))
    """
    return images if images.shape[1] in (1, 3) else torch.cat(images.split(1, 1), 3)


def write_rows(data: TableDataset, path: Path) -> None:
    """Rows of a table as a CSV: numbers to their decimals, names of categories, nothing where a value is missing."""
    count = data.numeric.shape[1]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        labelled = data.labels is not None and data.classes is not None
        table.writerow([*([data.label] if labelled else []), *(column.name for column in data.columns)])
        for row in range(len(data)):
            cells: list[Any] = []
            if data.labels is not None and data.classes is not None:
                cells.append(data.classes[int(data.labels[row])])
            numbers = zip(data.columns[:count], data.numeric[row].tolist(), strict=True)
            codes = zip(data.columns[count:], data.categorical[row].tolist(), strict=True)
            cells += [_number(value, column.decimals) for column, value in numbers]
            cells += [column.categories[code] for column, code in codes]
            table.writerow(["" if cell is None else cell for cell in cells])


def _number(value: float, decimals: int | None) -> str | None:
    if math.isnan(value):  # missing
        return None
    return repr(value) if decimals is None else f"{value:.{decimals}f}"


def spectrograms(waveforms: Tensor) -> Tensor:
    """Sounds (N, C, T) as pictures (N, 1, H, W) in [0, 1]: low frequencies below, 80 dB from black to white."""
    mono = waveforms.float().mean(1)
    mono = torch.nn.functional.pad(mono, (0, max(0, WINDOW - mono.shape[1])))
    short = torch.stft(mono, WINDOW, window=torch.hann_window(WINDOW), return_complex=True, pad_mode="constant")
    level = 20 * short.abs().clamp(min=1e-6).log10()
    level = level - level.amax((1, 2), keepdim=True)
    return (1 + level / 80).clamp(0, 1).flip(1)[:, None]


def write_wav(waveforms: Tensor, sample_rate: int, path: Path) -> None:
    """Sounds (N, C, T) in [-1, 1] one after the other, a fifth of a second apart, as 16-bit PCM."""
    gap = waveforms.new_zeros(*waveforms.shape[:2], sample_rate // 5)
    line = torch.cat([waveforms, gap], 2).transpose(0, 1).flatten(1)  # (C, N (T + gap))
    path.write_bytes(pcm_wav(line, sample_rate))
