from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from torchaug.compose import Compose
from torchaug.foreign import Lambda
from torchaug.image import ADA, ColorJitter, RandomAffine, RandomHorizontalFlip, RandomPosterize, RandomResizedCrop
from torchaug.image.adaptive import AdaptiveP, HoldoutP
from torchaug.keys import fold_in, sample_keys
from torchaug.models.gan import ImageGAN, default_gamma, generate, interpolate
from torchaug.models.gan_augment import DiscriminatorAugment
from torchaug.models.gan_condition import Condition
from torchaug.models.gan_losses import PENALTIES, Loss, discriminator_loss, generator_loss
from torchaug.models.gan_networks import GAN_PRESETS, Discriminator, Generator, Pointwise
from torchaug.models.latents import on_circle
from torchaug.models.networks import seeded_weights

LABELS, KEYS = torch.tensor([0, 1, 2, 1, 0]), sample_keys(torch.arange(5))
SHARE = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0])
LOSSES: list[Loss] = ["relativistic", "non-saturating", "hinge", "least-squares", "wasserstein"]
CONDITIONS: dict[str, Tensor] = {
    "class": LABELS,
    "multi-label": torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1.0]]),
    "continuous": torch.linspace(-2, 2, 15).view(5, 3),
}


def gan(size: int = 8, channels: int = 1, **options: Any) -> ImageGAN:
    """A small GAN all of whose weights count: at first the residual branches end in 0."""
    with seeded_weights(0):
        model = ImageGAN(channels, size, size, num_classes=3, **{"latent": 4, "levels": 17, **options})
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return model


def images(count: int = 5, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def gradients(model: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


# Losses, against torch.autograd and the formulae of the papers


def norms(critic: Discriminator, pixels: Tensor) -> tuple[Tensor, Tensor]:
    x = (2 * pixels - 1).requires_grad_()
    score = critic((x + 1) / 2, LABELS)
    (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    return score, gradient.square().sum((1, 2, 3))


def reference_loss(critic: Discriminator, real: Tensor, fake: Tensor, gamma: float, loss: str) -> Tensor:
    (a, r1), (b, r2) = norms(critic, real), norms(critic, fake)
    if loss == "relativistic":
        return torch.log(1 + torch.exp(b - a)).mean() + gamma / 2 * (r1.mean() + r2.mean())
    if loss == "non-saturating":
        return -(torch.log(torch.sigmoid(a)) + torch.log(1 - torch.sigmoid(b))).mean() + gamma / 2 * r1.mean()
    if loss == "hinge":
        return (1 - a).clamp(min=0).mean() + (1 + b).clamp(min=0).mean() + gamma / 2 * r1.mean()
    if loss == "least-squares":
        return 0.5 * ((a - 1) ** 2).mean() + 0.5 * (b**2).mean() + gamma / 2 * r1.mean()
    between = SHARE[:, None, None, None] * real + (1 - SHARE[:, None, None, None]) * fake
    slope = norms(critic, between)[1].sqrt()
    return b.mean() - a.mean() + gamma / 2 * ((slope - 1) ** 2).mean()


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_and_penalties_equal_those_of_double_backward(loss: Loss) -> None:
    critic, real, fake = gan().discriminator, images(), images(seed=1)
    found, parts = discriminator_loss(critic, real, fake, LABELS, gamma=0.7, loss=loss, share=SHARE)
    expected = reference_loss(critic, real, fake, 0.7, loss)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(critic, found), gradients(critic, expected), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found, reference_loss(critic, real, fake, 0.8, loss))
    assert sorted(parts) == sorted(["advantage", *PENALTIES[loss]])
    torch.testing.assert_close(parts["advantage"], (critic(real, LABELS) - critic(fake, LABELS)).mean().detach())


@pytest.mark.parametrize("loss", LOSSES)
def test_the_generators_loss_is_that_of_the_papers(loss: Loss) -> None:
    critic, real, fake = gan().discriminator, images(), images(seed=1)
    a, b = critic(real, LABELS), critic(fake, LABELS)
    expected = {
        "relativistic": torch.log(1 + torch.exp(a - b)).mean(),
        "non-saturating": -torch.log(torch.sigmoid(b)).mean(),
        "hinge": -b.mean(),
        "least-squares": 0.5 * ((b - 1) ** 2).mean(),
        "wasserstein": -b.mean(),
    }
    torch.testing.assert_close(generator_loss(critic, real, fake, LABELS, loss=loss), expected[loss])


@pytest.mark.parametrize(
    "loss", [pytest.param(loss, marks=() if loss == "relativistic" else pytest.mark.slow) for loss in LOSSES]
)
def test_the_compiled_loss_is_the_eager_one(loss: Loss) -> None:
    critic, real, fake = gan().discriminator, images(), images(seed=1)

    def step(real: Tensor, fake: Tensor) -> Tensor:
        return discriminator_loss(critic, real, fake, LABELS, gamma=0.7, loss=loss, share=SHARE)[0]

    torch.compiler.reset()
    eager, compiled = step(real, fake), torch.compile(step, backend="aot_eager", fullgraph=True)(real, fake)
    torch.testing.assert_close(compiled, eager)
    torch.testing.assert_close(gradients(critic, compiled), gradients(critic, eager), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_penalties_reach_the_weights_through_our_own_augmentation(loss: Loss) -> None:
    """The derivative by one weight, against finite differences, in float64."""
    critic = gan().discriminator.double()
    chain = Compose([RandomAffine(20, translate=(0.1, 0.1), interpolation="bilinear"), ColorJitter(brightness=0.2)])
    augment = DiscriminatorAugment(chain, p=0.7)
    real, fake = 0.3 + 0.4 * images().double(), 0.3 + 0.4 * images(seed=1).double()

    def value() -> Tensor:
        seen = augment.of(KEYS)
        return discriminator_loss(critic, real, fake, LABELS, gamma=5.0, loss=loss, share=SHARE.double(), augment=seen)[
            0
        ]

    first = next(critic.stem.parameters())
    (found,) = torch.autograd.grad(value(), first)
    step, values = torch.zeros_like(first), []
    step[0, 0] = 1e-5
    for sign in (1, -2):
        with torch.no_grad():
            first.add_(sign * step)
        values.append(value().item())
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(found[0, 0].item(), rel=1e-2)


def test_without_gamma_nothing_is_penalised_and_the_scores_lose_no_gradient() -> None:
    critic, real, fake = gan().discriminator, images(), images(seed=1)
    none, parts = discriminator_loss(critic, real, fake, LABELS, gamma=None)
    zero, _ = discriminator_loss(critic, real, fake, LABELS, gamma=0.0)
    torch.testing.assert_close(none, zero)
    torch.testing.assert_close(gradients(critic, none), gradients(critic, zero))
    assert list(parts) == ["advantage"]


def test_a_critic_that_ignores_its_input_has_a_finite_wasserstein_gradient() -> None:
    weight = torch.zeros((), requires_grad=True)
    loss, _ = discriminator_loss(
        lambda x, y: weight * x.sum((1, 2, 3)),
        images(),
        images(seed=1),
        LABELS,
        gamma=20.0,
        loss="wasserstein",
        share=SHARE,
    )
    loss.backward()
    assert weight.grad is not None
    assert weight.grad.isfinite()


def test_penalties_are_computed_in_float32_under_bfloat16() -> None:
    critic, real, fake = gan().discriminator, images(), images(seed=1)
    plain, _ = discriminator_loss(critic, real, fake, LABELS, gamma=0.7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, _ = discriminator_loss(critic, real, fake, LABELS, gamma=0.7)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, plain)


def test_the_discriminator_loss_sends_nothing_back_to_the_generator() -> None:
    model = gan()
    fake = model.generator(torch.randn(5, 4), LABELS)
    loss, _ = discriminator_loss(model.discriminator, images(), fake, LABELS, gamma=1.0)
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(loss, list(model.generator.parameters()))


def test_what_a_loss_needs_is_asked_for() -> None:
    critic, real, fake = gan().discriminator, images(), images(seed=1)
    with pytest.raises(ValueError, match="needs share"):
        discriminator_loss(critic, real, fake, LABELS, gamma=1.0, loss="wasserstein")
    for loss in (discriminator_loss, generator_loss):
        options: dict[str, Any] = {"gamma": 1.0} if loss is discriminator_loss else {}
        with pytest.raises(ValueError, match=r"one of relativistic, .* got 'kl'"):
            loss(critic, real, fake, LABELS, loss="kl", **options)  # type: ignore[arg-type]


def test_default_gamma_rises_with_the_resolution_to_the_published_value() -> None:
    assert default_gamma(32, 32) == 0.5
    assert default_gamma(256, 256) == pytest.approx(150)
    assert default_gamma(64, 64) < default_gamma(128, 128)
    assert default_gamma(64, 64, "wasserstein") == 20  # lambda 10, halved


# Networks and conditions


@pytest.mark.parametrize("condition", CONDITIONS)
def test_both_networks_read_the_condition(condition: str) -> None:
    model, labels = gan(condition=condition), CONDITIONS[condition]
    z, real = torch.randn(5, 4), images()
    for network, content in ((model.generator, z), (model.discriminator, real)):
        first, other = network(content, labels), network(content, labels.roll(1, 0))
        changed = (first - other).reshape(5, -1).abs().amax(1) > 0
        assert torch.equal(changed, (labels != labels.roll(1, 0)).reshape(5, -1).any(1))
    loss, _ = discriminator_loss(model.discriminator, real, model.generator(z, labels), labels, gamma=0.5)
    assert all(gradient.isfinite().all() for gradient in gradients(model.discriminator, loss))


@pytest.mark.parametrize("kind", CONDITIONS)
def test_conditions_are_of_about_unit_variance(kind: Any) -> None:
    with seeded_weights(1):
        condition = Condition(kind, 40, 4096)
    labels = {
        "class": torch.arange(40),
        "multi-label": (torch.rand(40, 40) < torch.linspace(0, 1, 40)[:, None]).float(),
        "continuous": torch.randn(40, 40, generator=torch.Generator().manual_seed(2)),
    }[kind]
    variance = condition(labels).var(1)
    assert variance.mean().item() == pytest.approx(1, abs=0.25)
    assert ((variance > 0.4) & (variance < 2.5)).all()


def test_a_multi_label_is_the_sum_of_its_labels_and_a_constant() -> None:
    condition = Condition("multi-label", 3, 8)
    assert condition.embedding is not None
    one, two, _, constant = condition.embedding.weight
    found = condition(torch.tensor([[1, 1, 0], [0, 0, 0]]))
    torch.testing.assert_close(found[0], (one + two + constant) / 3**0.5)
    torch.testing.assert_close(found[1], constant)


@pytest.mark.parametrize(
    ("kind", "labels", "text"),
    [
        ("class", torch.tensor([3]), "labels must be 0 to 2, got 3 at 0"),
        ("multi-label", torch.tensor([[0.0, 2.0, 0.0]]), r"labels must be in \[0, 1\], got \[0.0, 2.0, 0.0\] at 0"),
        ("multi-label", torch.tensor([1]), r"labels must be \(B, 3\) for a multi-label condition"),
        ("continuous", torch.tensor([[0.0, float("nan"), 0.0]]), r"labels must be finite, got \[0.0, nan, 0.0\] at 0"),
        ("continuous", torch.zeros(2, 3), r"got torch.float32 \(2, 3\) and torch.int64 \(1,\)"),
    ],
)
def test_labels_that_cannot_be_are_refused(kind: str, labels: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        gan(condition=kind).generate(labels, KEYS[:1])


def test_an_unknown_condition_is_refused() -> None:
    with pytest.raises(ValueError, match="one of class, multi-label, continuous, got 'text'"):
        gan(condition="text")


def step_of(preset: str, size: int, width: int) -> None:
    with seeded_weights(0):
        model = ImageGAN(2, size, width, num_classes=1, preset=preset)
    labels = torch.zeros(1, dtype=torch.int64)
    fake = model.generator(torch.randn(1, 64), labels)
    assert fake.shape == (1, 2, size, width)
    loss, _ = discriminator_loss(model.discriminator, torch.rand_like(fake), fake, labels, gamma=0.1)
    loss.backward()
    generator_loss(model.discriminator, torch.rand_like(fake), fake, labels).backward()
    for weight in model.parameters():
        assert weight.grad is not None
        assert weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("preset", "size", "width"), [("tiny", 16, 9), ("narrow", 33, 5), ("small", 32, 20), ("base", 24, 24)]
)
def test_every_preset_makes_a_step(preset: str, size: int, width: int) -> None:
    step_of(preset, size, width)


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "size"), [("base", 64), ("large", 128), ("large", 256), ("wide", 32)])
def test_large_presets_make_a_step(preset: str, size: int) -> None:
    step_of(preset, size, size)


def test_grouped_convolutions_mix_sixteen_channels() -> None:
    model = Discriminator((3, 32, 32), 2, preset="base")
    mixing = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert {m.in_channels // m.groups for m in mixing} == {16}
    assert set(GAN_PRESETS) == {"tiny", "narrow", "small", "base", "large", "wide"}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("order", ["channels first", "channels last", "cropped"])
def test_a_pointwise_layer_is_a_convolution(order: str, bias: bool) -> None:
    """So are its first and second derivatives, whatever the order in memory."""
    layer = Pointwise(3, 5, bias=bias).double()
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    x = {"channels first": x, "channels last": x.contiguous(memory_format=torch.channels_last), "cropped": x[..., :5]}[
        order
    ].requires_grad_()

    def derivatives(y: Tensor) -> list[Tensor]:
        (slope,) = torch.autograd.grad(y.sin().sum(), x, create_graph=True)
        return [y, slope, *torch.autograd.grad(slope.square().sum(), [x, *layer.parameters()])]

    expected = derivatives(torch.nn.functional.conv2d(x, layer.weight, layer.bias))
    torch.testing.assert_close(derivatives(layer(x)), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_lie_last_inside_and_first_in_images(channels: int) -> None:
    """In the other order poolings and convolutions are far slower on a CPU."""
    model, orders = gan(13, channels), list[bool]()

    def look(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        orders.append(inputs[0].stride(1) == 1)

    for part in model.modules():
        if isinstance(part, nn.Conv2d) and not isinstance(part, Pointwise):
            part.register_forward_pre_hook(look)
    made = model.generator(torch.randn(5, 4), LABELS)
    model.discriminator(made, LABELS)
    assert len(orders) == 6
    assert all(orders)
    assert made.is_contiguous()


def test_a_new_block_is_the_identity() -> None:
    with seeded_weights(0):
        block = Generator((1, 8, 8), 2, latent=4, preset="tiny").blocks[0]
    x = torch.randn(2, 64, 4, 4)
    assert torch.equal(block(x), x)


# Samples


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize(("truncation", "tries"), [(1.0, 1), (0.6, 3)])
def test_a_sample_depends_on_its_own_label_and_key_alone(condition: str, truncation: float, tries: int) -> None:
    model, labels = gan(condition=condition).double(), CONDITIONS[condition].clone()
    labels = labels.double() if labels.is_floating_point() else labels
    together = model.generate(labels, KEYS, truncation, tries)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.equal(model.generate(labels[order], KEYS[order], truncation, tries), together[order])
    for i in range(5):
        assert torch.equal(model.generate(labels[i : i + 1], KEYS[i : i + 1], truncation, tries)[0], together[i])


def test_truncation_draws_samples_towards_the_middle_of_their_class() -> None:
    model = gan(levels=4096)
    middle = model.generator.draw(torch.zeros(5, 4), LABELS)
    assert torch.equal(model.generate(LABELS, KEYS, truncation=0.0), middle)
    far, near = ((model.generate(LABELS, KEYS, t) - middle).abs().mean() for t in (1.0, 0.3))
    assert 0 < near < far
    latents = model.generator.latents(KEYS)
    styles, full, mean = (model.generator.style(share * latents, LABELS) for share in (0.3, 1.0, 0.0))
    torch.testing.assert_close(styles, mean + 0.3 * (full - mean))  # it is the way of the style to its mean


def test_of_several_tries_the_one_that_looks_most_real_is_taken() -> None:
    model = gan().double()
    candidates = torch.stack(
        [model.generate(LABELS, KEYS), *(model.generate(LABELS, fold_in(KEYS, number)) for number in (1, 2, 3))]
    )
    scores = torch.stack([model.score(c, LABELS) for c in candidates])
    best = scores.argmax(0)
    assert len(best.unique()) > 1
    assert torch.equal(model.generate(LABELS, KEYS, tries=4), candidates[best, torch.arange(5)])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"truncation": -0.1}, "truncation must be at least 0"),
        ({"truncation": float("nan")}, "truncation must be at least 0"),
        ({"tries": 0}, "tries must be a whole number of at least 1, got 0"),
        ({"tries": 2.0}, "tries must be a whole number"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        gan().generate(LABELS, KEYS, **options)


def test_the_ends_of_an_interpolation_are_the_samples() -> None:
    model = gan().double()
    row = interpolate(model.generator, LABELS, KEYS, KEYS.roll(1), steps=5)
    assert row.shape == (5, 5, 1, 8, 8)
    assert torch.equal(row[:, 0], model.generate(LABELS, KEYS))
    torch.testing.assert_close(row[:, -1], generate(model.generator, model.discriminator, LABELS, KEYS.roll(1)))
    with pytest.raises(ValueError, match="steps must be at least 2"):
        model.interpolate(LABELS, KEYS, KEYS, steps=1)


@given(st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=30)
def test_spherical_interpolation_keeps_the_length_and_an_even_pace(share: float, seed: int) -> None:
    pair = torch.nn.functional.normalize(torch.randn(2, 1, 6, generator=torch.Generator().manual_seed(seed)), dim=2)
    a, b = pair.double()
    point = on_circle(a, b, share)
    assert point.norm().item() == pytest.approx(1, abs=1e-5)
    whole = torch.acos((a * b).sum().clamp(-1, 1)).item()
    assert torch.acos((a * point).sum().clamp(-1, 1)).item() == pytest.approx(share * whole, abs=1e-3)


def test_parallel_vectors_are_joined_by_a_line() -> None:
    a = torch.tensor([[1.0, 2.0]])
    torch.testing.assert_close(on_circle(a, 3 * a, 0.5), 2 * a)
    assert on_circle(a, -a, 0.5).isfinite().all()


# Augmentation


def test_each_image_is_augmented_with_chance_p() -> None:
    augment = DiscriminatorAugment(RandomHorizontalFlip(p=1.0), p=0.3)
    x, keys = images(2000), sample_keys(torch.arange(2000))
    flipped = (augment(x, keys=keys) == x.flip(3)).flatten(1).all(1)
    assert ((augment(x, keys=keys) == x).flatten(1).all(1) | flipped).all()
    assert flipped.float().mean().item() == pytest.approx(0.3, abs=0.04)
    augment.p.fill_(0)
    assert torch.equal(augment(x, keys=keys), x)
    assert torch.equal(DiscriminatorAugment(None, p=1.0)(x, keys=keys), x)


def test_each_call_draws_anew_and_alike_the_next_time() -> None:
    augment = DiscriminatorAugment(ADA("color", p=1.0), p=1.0)
    seen, again = augment.of(KEYS), augment.of(KEYS)
    first, second = seen(images()), seen(images())
    assert not torch.equal(first, second)
    assert torch.equal(again(images()), first)
    assert torch.equal(again(images()), second)


def test_only_its_chance_is_in_its_state() -> None:
    assert list(DiscriminatorAugment(ADA("bgc"), p=0.5).state_dict()) == ["p"]


def test_steps_that_are_not_differentiable_enough_are_refused_by_name() -> None:
    chain = Compose([RandomHorizontalFlip(), RandomPosterize(4), Lambda(lambda batch: batch)])
    with pytest.raises(
        ValueError, match=r"differentiated 2 times, got RandomPosterize \(0\), Lambda \(0\); leave them out"
    ):
        DiscriminatorAugment(chain)
    once = RandomHorizontalFlip()
    once.differentiable = 1
    with pytest.raises(ValueError, match=r"got RandomHorizontalFlip \(1\); leave it out"):
        DiscriminatorAugment(once)
    DiscriminatorAugment(once, orders=1)
    with pytest.raises(TypeError, match="expected a transform of torchaug, got function"):
        DiscriminatorAugment(lambda x: x)  # type: ignore[arg-type]


def test_a_transform_that_changes_the_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"keeps the size, got \(5, 1, 8, 8\) to \(5, 1, 6, 6\)"):
        DiscriminatorAugment(RandomResizedCrop(6))(images(), keys=KEYS)


# Controllers of the augmentation


def held_out_scores(r: float, shift: float) -> tuple[Tensor, Tensor, Tensor]:
    return torch.full((100,), 3.0 + shift), torch.full((50,), 3.0 - 2 * r + shift), torch.full((100,), 1.0 + shift)


@pytest.mark.parametrize("shift", [0.0, -100.0])
def test_p_follows_images_held_out_whatever_constant_the_scores_have(shift: float) -> None:
    augment = DiscriminatorAugment(None, p=0.5)
    control = HoldoutP(augment, target=0.5, kimg=1, interval=2, highest=0.8)
    for r, expected in ((0.7, 0.5), (0.7, 0.7), (0.3, 0.7), (0.3, 0.5), (0.9, 0.5), (0.9, 0.7), (0.9, 0.7), (0.9, 0.8)):
        control.update_scores(*held_out_scores(r, shift))
        assert augment.p.item() == pytest.approx(expected)
    with pytest.raises(TypeError, match="call update_scores"):
        control.update(torch.ones(3))


@pytest.mark.parametrize("control", [AdaptiveP, HoldoutP])
def test_a_controller_goes_on_after_a_checkpoint(control: Any) -> None:
    def observe(one: AdaptiveP) -> None:
        if isinstance(one, HoldoutP):
            one.update_scores(*held_out_scores(0.9, 0.0))
        else:
            one.update(torch.ones(100))

    make = functools.partial(control, kimg=1, interval=4)
    whole, before = make(DiscriminatorAugment(None)), make(DiscriminatorAugment(None))
    for _ in range(6):
        observe(whole)
    for _ in range(3):
        observe(before)
    after = make(DiscriminatorAugment(None))
    after.load_state_dict(before.state_dict())
    for _ in range(3):
        observe(after)
    assert whole.augment.p > 0
    for name, value in whole.state_dict().items():
        assert torch.equal(after.state_dict()[name], value) if isinstance(value, Tensor) else value == {"batches": 6}
