from __future__ import annotations

import itertools

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from torchaug.keys import sample_keys
from torchaug.models.ema import EMA
from torchaug.models.gan import ImageGAN
from torchaug.models.latents import latents
from torchaug.models.networks import seeded_weights, sizes
from torchaug.models.vae import ImageVAE

LABELS, KEYS = torch.tensor([0, 1, 2, 1, 0]), sample_keys(torch.arange(5))


def tiny_vae(**options: object) -> ImageVAE:
    with seeded_weights(0):
        return ImageVAE(1, 8, 8, num_classes=3, **{"latent": 4, "levels": 17, **options})  # type: ignore[arg-type]


def tiny_gan(**options: object) -> ImageGAN:
    with seeded_weights(0):
        return ImageGAN(1, 8, 8, num_classes=3, **{"latent": 4, "levels": 17, **options})  # type: ignore[arg-type]


def images(count: int = 5, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@given(channels=st.integers(1, 4), height=st.integers(1, 40), width=st.integers(8, 40), gan=st.booleans())
@settings(max_examples=15)
def test_any_channel_count_and_size_goes_in_and_comes_out(channels: int, height: int, width: int, gan: bool) -> None:
    model = (ImageGAN if gan else ImageVAE)(channels, height, width, num_classes=2)
    labels = torch.tensor([0, 1])
    made = model.generate(labels, KEYS[:2])
    assert made.shape == (2, channels, height, width)
    assert 0 <= made.min() <= made.max() <= 1
    if isinstance(model, ImageGAN):
        assert model.discriminator(made, labels).shape == (2,)
    else:
        assert model.encode(made, labels)[0].shape == (2, 32)


@given(height=st.integers(1, 128), width=st.integers(1, 128))
def test_doubling_a_grid_always_covers_the_next_one(height: int, width: int) -> None:
    grids = sizes(height, width)
    assert grids[0] == (height, width)
    assert max(grids[-1]) <= 4
    for large, small in itertools.pairwise(grids):
        assert all(2 * s - 1 <= big <= 2 * s for big, s in zip(large, small, strict=True))


def test_seeded_weights_leave_the_callers_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    with seeded_weights(5):
        first = nn.Linear(3, 3).weight
    assert torch.equal(before, torch.get_rng_state())
    with seeded_weights(6):
        assert not torch.equal(first, nn.Linear(3, 3).weight)


@pytest.mark.parametrize("make", [tiny_vae, tiny_gan])
def test_a_sample_depends_on_its_own_label_and_key_alone(make: type) -> None:
    model = make().double()
    together = model.generate(LABELS, KEYS)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.equal(model.generate(LABELS[order], KEYS[order]), together[order])
    for i in range(5):
        assert torch.equal(model.generate(LABELS[i : i + 1], KEYS[i : i + 1])[0], together[i])


@pytest.mark.parametrize("make", [tiny_vae, tiny_gan])
def test_samples_lie_on_the_grid_of_levels_and_draw_no_global_random_numbers(make: type) -> None:
    before = torch.get_rng_state()
    levels = make().generate(LABELS, KEYS) * 16
    assert torch.allclose(levels, levels.round(), atol=1e-5)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("make", [tiny_vae, tiny_gan])
@pytest.mark.parametrize(
    ("labels", "keys", "text"),
    [
        (torch.tensor([0, 3]), KEYS[:2], r"labels must be 0 to 2, got 3 at 1"),
        (torch.tensor([0, -1]), KEYS[:2], r"labels must be 0 to 2, got -1 at 1"),
        (torch.tensor([0.0]), KEYS[:1], r"must be int64 of shape \(B,\), got torch.float32"),
        (torch.tensor([0]), KEYS[:2], r"must be int64 of shape \(B,\)"),
    ],
)
def test_a_label_that_does_not_exist_is_refused(make: type, labels: Tensor, keys: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make().generate(labels, keys)


@pytest.mark.parametrize("model", [ImageVAE, ImageGAN])
def test_sizes_that_cannot_be_are_refused(model: type) -> None:
    with pytest.raises(ValueError, match="must be at least 1 and levels at least 2"):
        model(1, 8, 8, num_classes=0)
    with pytest.raises(ValueError, match=r"expected one of tiny, small, base.*, got 'huge'"):
        model(1, 8, 8, num_classes=2, preset="huge")


def test_latents_are_standard_normal_and_keyed() -> None:
    z = latents(sample_keys(torch.arange(4000)), 3)
    assert all(scipy.stats.kstest(column, "norm").pvalue > 1e-3 for column in z.T.numpy())
    assert torch.equal(latents(KEYS, 8)[:, :3], latents(KEYS, 3))


# The moving average


class Counter(nn.Module):
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("count", torch.tensor(64))


def test_after_its_half_life_the_average_is_half_way() -> None:
    model = Counter()
    ema = EMA(model, half_life=100, ramp=1e9)
    with torch.no_grad():
        model.weight.add_(1)
    for _ in range(4):
        ema.update(model, samples=25)
    assert ema.model.weight.item() == pytest.approx(0.5, abs=1e-6)
    assert ema.seen == 100


def test_a_young_average_forgets_its_first_weights_soon() -> None:
    model = Counter()
    ema = EMA(model, half_life=10_000, ramp=0.05)
    with torch.no_grad():
        model.weight.add_(1)
    for _ in range(10):
        ema.update(model, samples=10)
    assert ema.model.weight.item() > 0.99


def test_integer_buffers_are_copied_and_not_averaged() -> None:
    model = Counter()
    ema = EMA(model, half_life=100)
    model.count.fill_(56)
    ema.update(model, samples=1)
    assert ema.model.count.item() == 56
    assert ema.model.count.dtype == torch.int64


def test_what_two_modules_share_is_averaged_once_and_what_both_models_share_is_left() -> None:
    first, second, shared = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False), Counter()
    second.weight = first.weight
    with torch.no_grad():
        first.weight.zero_()
    tied = nn.Sequential(first, second, shared)
    ema = EMA(tied, half_life=100, ramp=1e9)
    ema.model[2] = shared
    with torch.no_grad():
        first.weight.fill_(1)
        shared.weight.fill_(1)
    ema.update(tied, samples=100)
    assert [weight.item() for weight in ema.model.parameters()] == pytest.approx([0.5, 1])


def test_the_average_stays_frozen_and_in_evaluation() -> None:
    ema = EMA(nn.Sequential(nn.Linear(1, 1), nn.Dropout()), half_life=1)
    ema.train()
    assert not any(module.training for module in ema.model.modules())
    assert not any(weight.requires_grad for weight in ema.parameters())
    with pytest.raises(ValueError, match="half_life and ramp must be above 0, got 0"):
        EMA(nn.Linear(1, 1), half_life=0)
