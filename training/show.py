"""Samples for a person's eye and ear, of whatever a generator makes."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.utils import make_grid, save_image

from torchaug.audio.files import pcm_wav
from torchaug.data.tables import TableDataset
from torchaug.keys import sample_keys
from torchaug.training.generator import LitGenerator

WINDOW = 512
"""Samples of a Fourier transform, in pictures of sounds."""


@torch.no_grad()
def show(generator: LitGenerator, per_class: int, path: Path) -> Tensor | None:
    """Writes samples of each class beside `path`, and returns the picture, if there is one, (3 or C, H, W) in [0, 1].

    Images: path.png, a row for each class. Sounds: path.png of their spectrograms, in the same way, and path.wav, one
    after the other. Tables: path.csv, class after class. Without classes all are in one row.
    """
    generator.prepare_samples()
    labels = torch.arange(max(1, len(generator.classes))).repeat_interleave(per_class)
    keys = sample_keys(torch.arange(len(labels)))
    columns = generator.make(labels.to(generator.device), keys.to(generator.device))
    columns = {name: column.cpu() for name, column in columns.items()}
    if "table" in columns:
        write_rows(generator.natural(columns, labels), path.with_name(path.name + ".csv"))
        return None
    if "waveform" in columns:
        sounds = columns["waveform"]
        write_wav(sounds, int(generator.attributes["sample_rate"]), path.with_name(path.name + ".wav"))
        images = spectrograms(sounds)
    else:
        images = columns["image"].float() / 255
    picture: Tensor = make_grid(images, nrow=per_class, padding=1)
    save_image(picture, path.with_name(path.name + ".png"))
    return picture


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
