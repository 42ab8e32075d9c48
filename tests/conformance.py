"""Each transform against an independent oracle, given our drawn parameters: cases, and the report made of them.

`tests/test_conformance.py` asserts every case; `scripts/conformance` writes docs/conformance.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor
from zoo import images

from torchaug import Batch, Transform
from torchaug.keys import sample_keys

Record = dict[str, Any]
Oracle = Callable[[Tensor, Record], Tensor]


@dataclass(frozen=True)
class Case:
    """One row of the report."""

    transform: str
    """Name and the arguments that matter."""
    oracle: str
    """What it is compared with, and how."""
    dtype: torch.dtype
    tolerance: float
    """Largest difference allowed: in levels of 255 for uint8, absolute on [0, 1] for floats."""
    error: Callable[[torch.device], float]
    """Measures the largest difference on a device."""
    devices: tuple[str, ...] = ("cpu", "cuda")

    def __str__(self) -> str:
        return f"{self.transform}-{str(self.dtype).removeprefix('torch.')}"


def against(
    transform: Transform,
    oracle: Oracle,
    reference: str,
    *,
    float_tolerance: float | None = 1e-5,
    uint8_tolerance: float | None = 1,
    interior: int = 0,
    share: float = 0.0,
    canvas: tuple[int, int] = (32, 36),
    count: int = 8,
    name: str | None = None,
) -> list[Case]:
    """Cases of a transform against a function of one image and its drawn parameters: for float32 and for uint8.

    Args:
        transform: ours.
        oracle: takes an image (C, H, W) of the case's dtype on the CPU and the record that `describe` gives of the sample,
            and returns what the transform should have made of it.
        reference: what the oracle is, for people.
        float_tolerance: for float32 images in [0, 1]; None leaves the case out.
        uint8_tolerance: in levels; None leaves the case out.
        interior: pixels left out at each border.
        share: of the pixels, the worst so many are left out (where an edge may fall either way).
        canvas: height and width of the images.
        count: of images.
        name: of the row; the transform's repr by default.
    """

    def case(dtype: torch.dtype, tolerance: float) -> Case:
        def error(device: torch.device) -> float:
            image = images(count, *canvas)
            image = image if dtype == torch.uint8 else (image.double() / 255).to(dtype)
            batch = Batch(image=image.to(device), key=sample_keys(torch.arange(count, device=device), seed=5))
            params = transform.draw(batch)
            out = transform(batch).image.cpu()
            worst = 0.0
            for i in range(count):
                (record,) = transform.describe(params, i)
                expected = oracle(image[i], record) if record["applied"] else image[i]
                worst = max(worst, difference(out[i], expected, interior, share))
            return worst

        return Case(name or repr(transform), reference, dtype, tolerance, error)

    wanted = ((torch.float32, float_tolerance), (torch.uint8, uint8_tolerance))
    return [case(dtype, tolerance) for dtype, tolerance in wanted if tolerance is not None]


def difference(ours: Tensor, expected: Tensor, interior: int = 0, share: float = 0.0) -> float:
    """The largest difference between two images of one shape and dtype, borders and the worst `share` left out."""
    if ours.shape != expected.shape or ours.dtype != expected.dtype:
        raise AssertionError(f"expected {expected.dtype} {tuple(expected.shape)}, got {ours.dtype} {tuple(ours.shape)}")
    gap = (ours.double() - expected.double()).abs()
    if interior:
        gap = gap[..., interior:-interior, interior:-interior]
    if not gap.isfinite().all():
        return float("inf")
    kept = gap.flatten().sort().values
    return float(kept[: max(1, round(len(kept) * (1 - share)))][-1])


TOPICS = (
    "core",
    "geometry",
    "warps",
    "color",
    "levels",
    "filters",
    "weather",
    "noise",
    "mixing",
    "labels",
    "policies",
    "video",
    "volume",
    "tabular",
    "audio_noise",
    "audio_time",
    "audio_filters",
    "audio_codecs",
    "audio_spectral",
    "audio_levels",
)


def cases() -> Iterator[Case]:
    """Those of all topics: each module `conformance_<topic>` has its `CASES`."""
    for topic in TOPICS:
        yield from import_module(f"conformance_{topic}").CASES


def report(devices: list[str]) -> str:
    """The report as Markdown."""
    lines = [
        "# Conformance",
        "",
        "Every transform against an independent oracle, given the parameters that we drew: the largest difference found",
        "beside the one allowed. In levels of 255 for uint8, absolute on [0, 1] for floats. Made by `scripts/conformance`",
        f"with torch {torch.__version__} and torchvision {torchvision.__version__} on {', '.join(devices)}; the same cases are",
        "asserted in `tests/test_conformance.py`.",
        "",
        "| Transform | Oracle | dtype | device | error | tolerance |",
        "|---|---|---|---|---|---|",
    ]
    for case in cases():
        for device in devices:
            if device in case.devices:
                error = case.error(torch.device(device))
                dtype = str(case.dtype).removeprefix("torch.")
                mark = "" if error <= case.tolerance else " **not met**"
                name = case.transform.replace("|", "\\|")
                row = f"| `{name}` | {case.oracle} | {dtype} | {device} | {error:.2g}{mark} | {case.tolerance:g} |"
                lines.append(row)
    return "\n".join(lines) + "\n"


def main() -> None:
    torch.set_num_threads(1)
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    text = report(devices)
    Path(__file__).parent.parent.joinpath("docs", "conformance.md").write_text(text)
    rows, failures = text.count("\n| `"), text.count("**not met**")
    sys.stdout.write(f"docs/conformance.md: {rows} rows, {failures} not met\n")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
