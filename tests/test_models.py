from __future__ import annotations

import itertools

import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from torchaug.compose import Compose
from torchaug.image import ColorJitter, RandomAffine
from torchaug.keys import sample_keys
from torchaug.models.ema import EMA
from torchaug.models.gan import Discriminator, ImageGAN, default_gamma, discriminator_loss, generator_loss
from torchaug.models.latents import latents
from torchaug.models.networks import PRESETS, seeded_weights, sizes
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


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_builds_for_128_pixels(preset: str) -> None:
    gan = ImageGAN(3, 128, 128, num_classes=2, preset=preset)
    assert gan.generate(torch.tensor([1]), KEYS[:1]).shape == (1, 3, 128, 128)


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
    with pytest.raises(ValueError, match="expected one of tiny, small, base, got 'huge'"):
        model(1, 8, 8, num_classes=2, preset="huge")


def test_latents_are_standard_normal_and_keyed() -> None:
    z = latents(sample_keys(torch.arange(4000)), 3)
    assert all(scipy.stats.kstest(column, "norm").pvalue > 1e-3 for column in z.T.numpy())
    assert torch.equal(latents(KEYS, 8)[:, :3], latents(KEYS, 3))


# The GAN's losses, against torch.autograd


def reference_loss(critic: nn.Module, real: Tensor, fake: Tensor, labels: Tensor, gamma: float) -> Tensor:
    scores: list[Tensor] = []
    penalties: list[Tensor] = []
    for pixels in (real, fake):
        x = (2 * pixels - 1).requires_grad_()
        score = critic((x + 1) / 2, labels)
        (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
        scores.append(score)
        penalties.append(gradient.square().sum((1, 2, 3)).mean())
    return nn.functional.softplus(scores[1] - scores[0]).mean() + gamma / 2 * (penalties[0] + penalties[1])


def trained_critic() -> Discriminator:
    critic = tiny_gan().discriminator
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # the first weights of residual branches are 0: make them count
        for weight in critic.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    return critic


def gradients(critic: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(critic.parameters())))


def test_r1_and_r2_equal_those_of_double_backward() -> None:
    critic, real, fake = trained_critic(), images(), images(seed=1)
    loss, parts = discriminator_loss(critic, real, fake, LABELS, gamma=0.7)
    expected = reference_loss(critic, real, fake, LABELS, 0.7)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients(critic, loss), gradients(critic, expected), rtol=1e-4, atol=1e-5)
    wrong = reference_loss(critic, real, fake, LABELS, 0.8)
    assert not torch.allclose(loss, wrong)
    assert sorted(parts) == ["advantage", "r1", "r2"]


def test_the_compiled_loss_is_the_eager_one() -> None:
    critic, real, fake = trained_critic(), images(), images(seed=1)

    def step(real: Tensor, fake: Tensor) -> Tensor:
        return discriminator_loss(critic, real, fake, LABELS, gamma=0.7)[0]

    eager, compiled = step(real, fake), torch.compile(step, backend="aot_eager", fullgraph=True)(real, fake)
    torch.testing.assert_close(compiled, eager)
    torch.testing.assert_close(gradients(critic, compiled), gradients(critic, eager), rtol=1e-4, atol=1e-5)


def test_the_penalties_reach_the_weights_through_our_own_augmentation() -> None:
    critic = trained_critic().double()
    chain = Compose([RandomAffine(20, translate=(0.1, 0.1), interpolation="bilinear"), ColorJitter(brightness=0.2)])
    real, fake = 0.3 + 0.4 * images().double(), 0.3 + 0.4 * images(seed=1).double()

    def augment(x: Tensor) -> Tensor:
        augmented: Tensor = chain(x, keys=KEYS)
        return augmented

    loss, _ = discriminator_loss(critic, real, fake, LABELS, gamma=5.0, augment=augment)
    first = next(critic.stem.parameters())
    (found,) = torch.autograd.grad(loss, first, retain_graph=True)
    step = torch.zeros_like(first)
    step[0, 0] = 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            first.add_(sign * step)
        values.append(discriminator_loss(critic, real, fake, LABELS, gamma=5.0, augment=augment)[0].item())
        with torch.no_grad():
            first.sub_(sign * step)
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(found[0, 0].item(), rel=1e-2)


def test_penalties_are_computed_in_float32_under_bfloat16() -> None:
    critic, real, fake = trained_critic(), images(), images(seed=1)
    plain, _ = discriminator_loss(critic, real, fake, LABELS, gamma=0.7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, _ = discriminator_loss(critic, real, fake, LABELS, gamma=0.7)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, plain)


def test_the_discriminator_loss_sends_nothing_back_to_the_generator() -> None:
    gan = tiny_gan()
    fake = gan.generator(torch.randn(5, 4), LABELS)
    loss, _ = discriminator_loss(trained_critic(), images(), fake, LABELS, gamma=1.0)
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(loss, list(gan.generator.parameters()))


def test_generator_and_discriminator_pull_in_opposite_directions() -> None:
    critic, real, fake = trained_critic(), images(), images(seed=1)
    without, parts = discriminator_loss(critic, real, fake, LABELS, gamma=0.0)
    torch.testing.assert_close(
        generator_loss(critic, real, fake, LABELS), discriminator_loss(critic, fake, real, LABELS, gamma=0.0)[0]
    )
    advantage = critic(real, LABELS) - critic(fake, LABELS)
    torch.testing.assert_close(without, nn.functional.softplus(-advantage).mean())
    torch.testing.assert_close(parts["advantage"], advantage.mean().detach())


def test_default_gamma_rises_with_the_resolution_to_the_published_value() -> None:
    assert default_gamma(32, 32) == 0.5
    assert default_gamma(256, 256) == pytest.approx(150)
    assert default_gamma(64, 64) < default_gamma(128, 128)


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


def test_the_average_stays_frozen_and_in_evaluation() -> None:
    ema = EMA(nn.Sequential(nn.Linear(1, 1), nn.Dropout()), half_life=1)
    ema.train()
    assert not any(module.training for module in ema.model.modules())
    assert not any(weight.requires_grad for weight in ema.parameters())
    with pytest.raises(ValueError, match="half_life and ramp must be above 0, got 0"):
        EMA(nn.Linear(1, 1), half_life=0)
