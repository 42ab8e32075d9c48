"""Superpixels: against SLIC written as loops, and what a segmentation must hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from slic_loops import slic
from torch import Tensor
from zoo import images

from torchaug import Batch
from torchaug.image.superpixels import Superpixels
from torchaug.keys import sample_keys


def segments(image: Tensor, count: int = 12, **options: float) -> Tensor:
    """(B, H, W) of uint8 images."""
    return Superpixels(1.0, count, p=1.0, **options).segments(  # type: ignore[arg-type]
        image.float() / 255, torch.full((len(image),), count)
    )


@pytest.mark.parametrize("compactness", [3.0, 10.0, 60.0])
def test_segments_are_those_of_slic_written_as_loops(compactness: float) -> None:
    found = segments(images(2, 24, 32), 12, compactness=compactness)
    for image, ours in zip(images(2, 24, 32), found, strict=True):
        expected = slic(image.numpy(), 3, 4, compactness)
        assert np.array_equal(ours.numpy(), expected)


def test_segments_follow_edges_that_no_grid_has() -> None:
    """A tilted edge: no segment has pixels of both sides, where a grid's cells have many."""
    y, x = torch.meshgrid(torch.arange(40), torch.arange(40), indexing="ij")
    side = (2 * y + x > 55).to(torch.uint8)
    found = segments((side * 180 + 40).expand(1, 3, -1, -1), 16)[0]
    for k in found.unique():
        assert side[found == k].unique().numel() == 1
    squares = segments(torch.full((1, 3, 40, 40), 9, dtype=torch.uint8), 16)[0]
    assert any(side[squares == k].unique().numel() == 2 for k in squares.unique())
    assert squares.unique().numel() == 16
    assert squares.flatten().bincount().min() == 100


def test_means_of_segments_are_nearer_to_the_image_than_those_of_squares() -> None:
    image = images(3, 40, 44).float() / 255
    errors = [(Superpixels(1.0, 30, compactness=c, p=1.0)(image) - image).square().mean() for c in (5.0, 100.0)]
    assert errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize("count", [1, 2, 7, 30, 5000])
@pytest.mark.parametrize("shape", [(24, 32), (1, 40), (40, 1), (3, 50), (1, 1)])
def test_there_are_never_more_segments_than_asked_for(count: int, shape: tuple[int, int]) -> None:
    found = segments(images(2, 64, 64)[:, :, : shape[0], : shape[1]], count)
    assert found.min() >= 0
    assert found.max() < count
    cells = min(count, shape[0] * shape[1])
    assert found[0].unique().numel() >= min(cells, 0.3 * cells + 1)


def test_means_keep_the_image_mean_and_each_segment_is_replaced_or_not_at_all() -> None:
    image = images(4, 40, 44).float() / 255
    transform = Superpixels((0.3, 0.6), (20, 40), p=1.0)
    batch = Batch(image=image, key=sample_keys(torch.arange(4)))
    params, out = transform.draw(batch), transform(batch).image
    assert out is not None
    torch.testing.assert_close(out.mean((2, 3)), image.mean((2, 3)), rtol=0, atol=1e-5)
    u = params.u[:, 1:]
    numbers = [transform.describe(params, i)[0] for i in range(4)]
    found = transform.segments(image, torch.tensor([record["n_segments"] for record in numbers]))
    shares = []
    for i in range(4):
        replaced = []
        for k in found[i].unique():
            there = found[i] == k
            same = torch.equal(out[i][:, there], image[i][:, there])
            mean = image[i][:, there].mean(1, keepdim=True).expand(-1, int(there.sum()))
            replaced.append(not same)
            if not same:
                torch.testing.assert_close(out[i][:, there], mean, rtol=0, atol=1e-5)
        shares.append(sum(replaced) / len(replaced))
        assert abs(shares[-1] - numbers[i]["p_replace"]) < 0.3
    assert u.shape == (4, transform.uniforms)
    assert 0.25 < sum(shares) / 4 < 0.65


def test_a_large_image_is_segmented_small_and_what_is_not_replaced_stays() -> None:
    image = images(2, 100, 130)
    large = segments(image, 20, max_size=50)
    assert torch.equal(large[:, ::3, ::3].repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :100, :130], large)
    out = Superpixels(0.5, 20, max_size=50, p=1.0)(image)
    kept = (out == image).all(1).float().mean((1, 2))
    assert ((kept > 0.1) & (kept < 0.95)).all()


def test_padding_has_no_part_in_it_at_a_fraction_of_the_size_either() -> None:
    small = images(1, 45, 61, seed=3)[0]
    batch = Batch.from_images([images(1, 64, 70)[0], small]).replace(key=sample_keys(torch.arange(2)))
    assert batch.image is not None and batch.size is not None  # noqa: PT018
    transform = Superpixels(1.0, 12, max_size=40, p=1.0)
    alone = transform(small[None], keys=sample_keys(torch.arange(2))[1:])
    for beyond in (0, 200):
        own = torch.arange(70) < batch.size[:, 1, None, None, None]
        out = transform(batch.replace(image=torch.where(own, batch.image, beyond))).image
        assert torch.equal(out[1:, :, :45, :61], alone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p_replace": 1.5}, "p_replace must be a number in"),
        ({"n_segments": 0}, "n_segments must be a whole number"),
        ({"n_segments": (9, 4)}, "n_segments must be"),
        ({"max_size": 0}, "max_size must be"),
        ({"compactness": 0.5}, "compactness must be a number"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"Superpixels: {message}"):
        Superpixels(**options)  # type: ignore[arg-type]
