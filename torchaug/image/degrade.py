"""What cameras, files and thumbnails do to images: JPEG, fewer pixels, colour fringes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from torchaug.image import arguments
from torchaug.image.filters import bilinear
from torchaug.image.jpeg import compressed
from torchaug.image.pointwise import Frame, Pixels, pick
from torchaug.keys import integers, uniform
from torchaug.transform import Sizes


class JPEG(Pixels):
    """Compress to JPEG and decompress, with a quality drawn per sample, as torchvision's transform of this name.

    Args:
        quality: from 1 to 100, or a range (low, high), each whole number as likely.
        mode: "differentiable" for tensor code, on any device and compiled, with gradients that pass the roundings by:
            most pixels are those of libjpeg, the mean difference is below a level. "codec" for libjpeg itself,
            through PIL: exact, one image after the other on the CPU, without gradients; images on a GPU are copied
            there and back, and the step waits for them.
        p: chance per sample.

    Three channels are red, green and blue, with chroma at half the resolution; of other channel counts each channel is
    compressed as a grey image. Values are rounded to levels of 255 and kept in [0, 1].

    >>> JPEG(50)(torch.full((2, 3, 8, 8), 255, dtype=torch.uint8)).float().mean().item()
    255.0
    """

    uniforms = 1

    def __init__(
        self,
        quality: int | Sequence[int],
        mode: Literal["differentiable", "codec"] = "differentiable",
        p: float = 1.0,
    ) -> None:
        super().__init__(p)
        self.quality = arguments.whole_range(quality, "JPEG", "quality", 1, 100)
        self.mode = arguments.one_of(mode, "JPEG", "mode", ("differentiable", "codec"))
        self.differentiable = 2 if mode == "differentiable" else 0

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"quality": integers(u[:, 0], self.quality[0], self.quality[1] + 1)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        if self.mode == "differentiable":
            out = compressed(image, numbers["quality"], frame.size)
        else:
            quality = torch.where(numbers["chosen"], numbers["quality"], 0)
            out = jpeg_codec(image, quality, frame.size.height, frame.size.width)
        return pick(numbers["chosen"], out, image)


@torch.library.custom_op("torchaug::jpeg_codec", mutates_args=())
def jpeg_codec(image: Tensor, quality: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Each image (B, C, H, W) in [0, 1] through PIL's encoder and decoder, which are libjpeg's.

    A custom operator, so that it stays whole inside a compiled graph.

    Args:
        image: float.
        quality: (B,), 0 for images that stay as they are.
        height: (B,) of the images, where they are padded.
        width: likewise.
    """
    out = image.clone()
    levels = (image.detach() * 255).round().clamp(0, 255).to("cpu", torch.uint8)
    parts = 3 if image.shape[1] == 3 else 1
    sizes = torch.stack([quality.to(height.dtype), height, width], 1).long().tolist()
    for result, whole, (q, h, w) in zip(out, levels, sizes, strict=True):
        if q:
            planes = [_through_file(part, q) for part in whole[:, :h, :w].split(parts)]
            result[:, :h, :w] = torch.cat(planes) / 255
    return out


def _through_file(image: Tensor, quality: int) -> Tensor:
    """A uint8 image (1 or 3, H, W) as it comes out of a file."""
    from PIL import Image as PILImage

    pixels, file = image.permute(1, 2, 0).numpy(), io.BytesIO()
    PILImage.fromarray(pixels if len(image) == 3 else pixels[..., 0]).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(PILImage.open(file)).reshape(pixels.shape)).permute(2, 0, 1)


@jpeg_codec.register_fake
def _(image: Tensor, quality: Tensor, height: Tensor, width: Tensor) -> Tensor:
    return torch.empty_like(image)


class Downscale(Pixels):
    """Make an image smaller and enlarge it again, as albumentations' transform of this name.

    Args:
        scale_range: (low, high) of the smaller image's sides over the image's, above 0 and at most 1; one number for
            both.
        interpolation: of the enlarging, "nearest" or "bilinear". The small image's pixels are means of areas; by default
            albumentations takes single pixels.
        p: chance per sample.

    >>> Downscale(0.5, p=1.0)(torch.tensor([[[[0.0, 1.0]]]])).flatten().tolist()
    [0.5, 0.5]
    """

    uniforms = 1

    def __init__(
        self,
        scale_range: float | Sequence[float] = (0.25, 0.25),
        interpolation: Literal["nearest", "bilinear"] = "nearest",
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        self.scale_range = arguments.within(scale_range, "Downscale", "scale_range", 0, 1, above=True)
        self.interpolation = arguments.one_of(interpolation, "Downscale", "interpolation", ("nearest", "bilinear"))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        """The small image's height and width."""
        scale = uniform(u[:, 0], *self.scale_range)
        return {
            "height": (size.height * scale).floor().clamp(min=1),
            "width": (size.width * scale).floor().clamp(min=1),
        }

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        sides = (("height", frame.size.height), ("width", frame.size.width))
        weights = [
            self._weights(numbers[n], side, length) for (n, side), length in zip(sides, image.shape[2:], strict=True)
        ]
        return pick(numbers["chosen"], _mixed(image, *weights), image)

    def _weights(self, small: Tensor, side: Tensor, length: int) -> Tensor:
        """What each output place reads of an axis, (B, length, length)."""
        small, side = small[:, None], side[:, None]
        step = side / small
        at = (torch.arange(length, device=small.device) + 0.5) / step
        if self.interpolation == "nearest":
            cell = torch.minimum(at.floor(), small - 1)
            return _means(cell * step, (cell + 1) * step, length)
        left = (at - 0.5).floor()
        share = (at - 0.5 - left)[:, :, None]
        before, after = (torch.minimum(cell.clamp(min=0), small - 1) for cell in (left, left + 1))
        first, second = (_means(cell * step, (cell + 1) * step, length) for cell in (before, after))
        return torch.lerp(first, second, share)


class Pixelate(Pixels):
    """Replace square blocks by their means: a mosaic.

    Args:
        block_size: side of the blocks in pixels, or a range (low, high), each whole number as likely. Blocks start at
            the top left; the last ones may be cut off.
        p: chance per sample.

    >>> Pixelate(2)(torch.tensor([[[[0.0, 1.0, 1.0]]]])).flatten().tolist()
    [0.5, 0.5, 1.0]
    """

    uniforms = 1

    def __init__(self, block_size: int | Sequence[int] = (4, 16), p: float = 1.0) -> None:
        super().__init__(p)
        self.block_size = arguments.whole_range(block_size, "Pixelate", "block_size", 1)

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        return {"block_size": integers(u[:, 0], self.block_size[0], self.block_size[1] + 1)}

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        block = numbers["block_size"][:, None]
        weights = []
        for side, length in zip(frame.size[:2], image.shape[2:], strict=True):
            # beyond the image's own side, in the padding, there must be something to divide by
            start = torch.minimum(torch.arange(length, device=block.device), side.long()[:, None] - 1) // block * block
            weights.append(_means(start, torch.minimum(start + block, side[:, None]), length))
        return pick(numbers["chosen"], _mixed(image, *weights), image)


class ChromaticAberration(Pixels):
    """Distort red and blue radially, against green: a lens that bends colours differently, as albumentations' transform.

    A point at distance r from the middle, in units of the image's sides, reads at r (1 + primary r^2 + secondary r^4).

    Args:
        primary_distortion_limit: range of the primary coefficients: uniform in [-v, v] or (low, high).
        secondary_distortion_limit: of the secondary ones.
        mode: "green_purple" where red and blue move the same way, "red_blue" where they move against each other,
            "random" where each is drawn for itself.
        p: chance per sample.

    Images must have three channels. Values between pixels are bilinear; beyond the border is its nearest pixel.

    >>> ChromaticAberration(p=1.0)(torch.ones(2, 3, 8, 8)).mean().item()
    1.0
    """

    uniforms = 4

    def __init__(
        self,
        primary_distortion_limit: float | Sequence[float] = 0.02,
        secondary_distortion_limit: float | Sequence[float] = 0.05,
        mode: Literal["green_purple", "red_blue", "random"] = "green_purple",
        p: float = 0.5,
    ) -> None:
        super().__init__(p)
        who = "ChromaticAberration"
        self.primary_distortion_limit = arguments.symmetric(primary_distortion_limit, who, "primary_distortion_limit")
        self.secondary_distortion_limit = arguments.symmetric(
            secondary_distortion_limit, who, "secondary_distortion_limit"
        )
        self.mode = arguments.one_of(mode, who, "mode", ("green_purple", "red_blue", "random"))

    def drawn(self, u: Tensor, size: Sizes) -> dict[str, Tensor]:
        """(B, 2) each, of red and blue."""
        limits = {"primary": self.primary_distortion_limit, "secondary": self.secondary_distortion_limit}
        drawn = {}
        for i, (name, limit) in enumerate(limits.items()):
            red, blue = uniform(u[:, 2 * i], *limit), uniform(u[:, 2 * i + 1], *limit)
            if self.mode != "random":
                sign = red.sign() if self.mode == "green_purple" else -red.sign()
                blue = blue.abs() * sign
            drawn[name] = torch.stack([red, blue], 1)
        return drawn

    def pixels(self, image: Tensor, numbers: dict[str, Tensor], frame: Frame) -> Tensor:
        if image.shape[1] != 3:
            raise ValueError(f"ChromaticAberration: image must have 3 channels, got {image.shape[1]}")
        height, width = (side[:, None, None] for side in frame.size[:2])
        rows, columns = (torch.arange(n, device=image.device) for n in image.shape[2:])
        y, x = rows[:, None] - (height - 1) / 2, columns - (width - 1) / 2
        square = (y / height).square() + (x / width).square()
        bent = []
        for i, channel in enumerate((0, 2)):
            primary, secondary = (numbers[name][:, i, None, None] for name in ("primary", "secondary"))
            factor = 1 + square * (primary + secondary * square)
            at = y * factor + (height - 1) / 2, x * factor + (width - 1) / 2
            bent.append(bilinear(image[:, channel : channel + 1], frame.size, *at))
        return pick(numbers["chosen"], torch.cat([bent[0], image[:, 1:2], bent[1]], 1), image)


def _means(start: Tensor, end: Tensor, length: int) -> Tensor:
    """Weights of the means over spans [start, end) (B, N) of an axis of pixels: (B, N, length)."""
    start, end = start[:, :, None], end[:, :, None]
    at = torch.arange(length, device=start.device)
    covered = torch.minimum(end, at + 1) - torch.maximum(start, at)
    return covered.clamp(min=0) / (end - start)


def _mixed(image: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Rows mixed by (B, H, H), columns by (B, W, W)."""
    down, across = down[:, None].to(image.dtype), across[:, None].to(image.dtype)
    with torch.autocast(image.device.type, enabled=False):
        return torch.matmul(torch.matmul(down, image), across.mT)
