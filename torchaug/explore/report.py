"""A study as one HTML file that needs nothing else: no network, no script, images, sounds and chart inside."""

from __future__ import annotations

import base64
import io
import math
import os
import statistics
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from torchaug.audio.files import pcm_wav
from torchaug.data.files import replace_file
from torchaug.evaluate.results import ColumnSheet, Difference, Interval, Sheet, StudyResult

THUMBNAIL = 96  # pixels: larger images are shown smaller, smaller ones as large squares of their pixels
PER_CLASS = 10  # images of a class in a contact sheet
PAIRS = 24  # synthetic images shown beside their nearest neighbours, the closest first


def write_report(result: StudyResult, path: str | os.PathLike[str]) -> Path:
    """Writes the report of a study; the same result gives the same bytes.

    Args:
        result: the study.
        path: of the file, usually report.html; its folder is made where it does not exist.

    Returns:
        The path.

    Raises:
        ImportError: without jinja2.
        OSError: where the file cannot be written; a report that was there is kept.
    """
    path, text = Path(path), render(result)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode("utf-8"))
    return path


def render(result: StudyResult) -> str:
    """The HTML of the report."""
    try:
        import jinja2
    except ImportError as error:
        raise ImportError("write_report: needs jinja2; pip install 'torchaug-synth[report]'") from error
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("torchaug.explore").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        result=result,
        headline=headline(result),
        verdicts=verdicts(result),
        rows=_rows(result),
        chart=_chart(result),
        classes=_classes(result),
        sheets=[
            (name, _by_class(result, result.sheets[name]))
            for name in ("real", "augmented", "synthetic")
            if name in result.sheets
        ],
        pairs=_pairs(result),
        columns=[_bars(column) for column in result.columns],
        typical_distance=_typical_distance(result),
    )


def headline(result: StudyResult) -> str:
    """Which way to train found the rare classes best, and whether synthetic data helped, in a few sentences."""
    best, base, short = result.best(), result.arms[0], result.metric().short
    found, before = (show(arm.interval(result.main)) for arm in (best, base))
    if best is base:
        first = f"Nothing found the rare classes better than {base.name}: {short} {before}."
    else:
        difference = result.difference(best.name, base.name)
        first = f"Rare classes are found best with {best.name}: {short} {found}, against {before} with {base.name}"
        measurable = difference is None or difference.verdict == "helped"
        first += "." if measurable else "; the lead is not measurable."
    return " ".join([*filter(None, [result.caution]), first, *_about_synthetic(result)])


def _about_synthetic(result: StudyResult) -> Iterable[str]:
    """Against oversampling where that was compared: what synthetic data add to less could be mere class balance."""
    words = {"helped": "helped", "hurt": "hurt", "no measurable difference": "did not help measurably"}
    main = [d for d in result.differences if d.metric == result.main]
    fair = [d for d in main if "synthetic" in d.arm and "oversampling" in d.baseline]
    added = [d for d in main if d.arm == f"{d.baseline} + synthetic"]
    for d in fair or added:
        where = f"In place of the oversampling in {d.baseline}" if fair else f"Added to {d.baseline}"
        yield f"{where}, synthetic data {words[d.verdict]}: {show(d.interval, sign=True)}."


def verdicts(result: StudyResult) -> list[str]:
    """What each comparison in the main metric came to, a sentence each."""
    words = {"helped": "helped", "hurt": "hurt", "no measurable difference": "made no measurable difference"}
    return [
        f"{d.arm} {words[d.verdict]} against {d.baseline}: {result.metric().title} {show(d.interval, sign=True)}."
        for d in result.differences
        if d.metric == result.main
    ]


def show(interval: Interval, *, sign: bool = False) -> str:
    """An interval for a reader.

    >>> show(Interval(0.9, 0.85, 0.95)), show(Interval(0.9))
    ('0.900 (0.850 to 0.950)', '0.900')
    >>> show(Interval(-0.01, -0.03, 0.01), sign=True)
    '-0.010 (-0.030 to +0.010)'
    """
    form = "{:+.3f}" if sign else "{:.3f}"
    text = form.format(interval.mean)
    if math.isnan(interval.low):
        return text
    return f"{text} ({form.format(interval.low)} to {form.format(interval.high)})"


def _rows(result: StudyResult) -> list[dict[str, Any]]:
    base, best = result.arms[0], result.best()
    return [
        {
            "arm": arm,
            "cells": [show(interval) for interval in arm.intervals.values()],
            "best": arm is best,
            "against": _against(result.difference(arm.name, base.name)),
        }
        for arm in result.arms
    ]


def _against(difference: Difference | None) -> dict[str, str] | None:
    if difference is None:
        return None
    kind = {"helped": "good", "hurt": "bad", "no measurable difference": "even"}[difference.verdict]
    return {"kind": kind, "verdict": difference.verdict, "size": show(difference.interval, sign=True)}


def _chart(result: StudyResult, width: int = 744, left: int = 286, row: int = 34) -> dict[str, Any]:
    """Where the lines and dots of the chart of the main metric go, in its own pixels."""
    means = {arm.name: arm.interval(result.main) for arm in result.arms}
    seeds = {arm.name: arm.values.get(result.main, ()) for arm in result.arms}
    numbers = [n for name, mean in means.items() for n in (*_known(mean), *seeds[name])]
    low = min(9, max(0, math.floor(10 * min(numbers))))  # in tenths; an interval may leave [0, 1], a value cannot
    high = max(low + 1, min(10, math.ceil(10 * max(numbers))))

    def x(value: float) -> str:
        place = (min(max(10 * value, low), high) - low) / (high - low)
        return f"{left + place * (width - left - 24):.1f}"

    rows = [
        {
            "name": arm.name,
            "y": 20 + i * row,
            "best": arm is result.best(),
            "mean": x(means[arm.name].mean),
            "ends": [x(end) for end in _known(means[arm.name])[1:]],
            "dots": [x(value) for value in seeds[arm.name]],
        }
        for i, arm in enumerate(result.arms)
    ]
    bottom = 20 + len(rows) * row
    return {
        "width": width,
        "height": bottom + 24,
        "bottom": bottom - 8,
        "left": left,
        "rows": rows,
        "ticks": [(x(tenth / 10), f"{tenth / 10:.1f}") for tenth in range(low, high + 1)],
    }


def _known(interval: Interval) -> list[float]:
    return [n for n in (interval.mean, interval.low, interval.high) if not math.isnan(n)]


def _classes(result: StudyResult) -> list[dict[str, Any]]:
    most = max(result.train_counts, default=0) or 1
    counts = zip(result.classes, result.train_counts, result.test_counts, strict=True)
    return [
        {"name": name, "train": train, "test": test, "rare": c in result.rare, "width": f"{100 * train / most:.1f}"}
        for c, (name, train, test) in enumerate(counts)
    ]


def _by_class(result: StudyResult, sheet: Sheet) -> list[dict[str, Any]]:
    rows = []
    for c, name in enumerate(result.classes):
        places = [i for i, label in enumerate(sheet.labels) if label == c][:PER_CLASS]
        if places:
            shown = [_exhibit(sheet.images, sheet.sounds, sheet.sample_rate, i) for i in places]
            rows.append({"name": name, "rare": c in result.rare, "shown": shown})
    return rows


def _pairs(result: StudyResult) -> list[dict[str, Any]]:
    sheet = result.sheets.get("synthetic")
    if sheet is None or sheet.nearest is None:
        return []
    closest_first = sorted(range(len(sheet.distances)), key=lambda i: (sheet.distances[i], i))
    return [
        {
            "name": result.classes[sheet.labels[i]],
            "synthetic": _exhibit(sheet.images, sheet.sounds, sheet.sample_rate, i),
            "nearest": _exhibit(sheet.nearest, sheet.nearest_sounds, sheet.sample_rate, i),
            "distance": f"{sheet.distances[i]:.2f}",
        }
        for i in closest_first[:PAIRS]
    ]


def _exhibit(images: Tensor, sounds: Tensor | None, sample_rate: int, i: int) -> dict[str, str]:
    """The addresses of an image, and of the sound that it is a picture of."""
    return {"image": thumbnail(images[i]), "sound": "" if sounds is None else player(sounds[i], sample_rate)}


def _bars(sheet: ColumnSheet, height: int = 48) -> dict[str, Any]:
    """The bars of a column: for each bin its name and the heights of both, in pixels."""
    most = max((*sheet.real, *sheet.synthetic), default=0) or 1
    heights = [[f"{height * share / most:.1f}" for share in shares] for shares in (sheet.real, sheet.synthetic)]
    bars = [
        {"name": name, "heights": pair, "shares": [f"{100 * share:.0f} %" for share in shares]}
        for name, pair, shares in zip(
            sheet.bins, zip(*heights, strict=True), zip(sheet.real, sheet.synthetic, strict=True), strict=True
        )
    ]
    return {"name": sheet.name, "bars": bars, "height": height}


def _typical_distance(result: StudyResult) -> str | None:
    """Median distance of the shown real images to their nearest other real one, where the study has it."""
    sheet = result.sheets.get("real")
    return f"{statistics.median(sheet.distances):.2f}" if sheet is not None and sheet.distances else None


def thumbnail(image: Tensor) -> str:
    """A PNG as a data address, at most `THUMBNAIL` pixels large.

    Args:
        image: (C, H, W) uint8; of 1 channel grey, of 3 or more the first three as red, green and blue.
    """
    channels = 3 if image.shape[0] >= 3 else 1
    image = image[:channels].cpu()
    shrink = THUMBNAIL / max(image.shape[-2:])
    if shrink < 1:
        size = [max(1, round(side * shrink)) for side in image.shape[-2:]]
        image = F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    pixels = image[0].numpy() if channels == 1 else image.permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return _address("image/png", file.getvalue())


def player(sound: Tensor, sample_rate: int) -> str:
    """A sound (C, T) in [-1, 1] as the data address of a WAV file of 16 bits."""
    return _address("audio/wav", pcm_wav(sound.cpu(), sample_rate))


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64," + base64.b64encode(content).decode("ascii")
