"""ADA and DiffAugment: laws of their switches, what every transform must keep to, the controller, and what they refuse."""

# fields of a Batch that the test itself has set
# mypy: disable-error-code="union-attr, arg-type, index"
from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch._subclasses.fake_tensor import FakeTensorMode
from zoo import images

from torchaug import Batch, Compose, Transform
from torchaug.image.ada import ADA, POLICIES, SWITCHES
from torchaug.image.adaptive import AdaptiveP
from torchaug.image.diffaugment import DiffAugment
from torchaug.image.wavelets import SYM6, band_kernel, warped
from torchaug.keys import sample_keys, uniforms
from torchaug.transform import Sizes

MOVING: dict[str, Transform] = {
    "all": ADA("bgcfnc", p=0.8),
    "blit": ADA("blit"),
    "geom": ADA("geom"),
    "diffaugment": DiffAugment(),
    "translation": DiffAugment("translation"),
}
"""Those that the property suite leaves out, since its batches have masks and boxes."""
moving = pytest.mark.parametrize("transform", MOVING.values(), ids=MOVING)


def batch(count: int = 5, dtype: torch.dtype = torch.float32) -> Batch:
    image = images(count)
    image = image if dtype == torch.uint8 else (image.double() / 255).to(dtype)
    return Batch(image=image, key=sample_keys(torch.arange(count), seed=3))


def drawn(transform: Transform, count: int = 4000, canvas: tuple[int, int] = (40, 80)) -> dict[str, Tensor]:
    u = uniforms(sample_keys(torch.arange(count), seed=4), transform.uniforms)
    return transform.drawn(u, Sizes.of(canvas, None, u))


def assert_law(values: Tensor, distribution: stats.rv_continuous) -> None:
    assert stats.kstest(values.double().numpy(), distribution.cdf).pvalue > 1e-3


def test_each_switch_has_the_law_of_the_paper() -> None:
    numbers = drawn(ADA("bgcfnc", p=1.0))
    for name, octaves in (("scale", 0.2), ("aniso", 0.2), ("contrast", 0.5), ("saturation", 1.0)):
        assert_law(numbers[name].log2(), stats.norm(0, octaves))
    for name in ("pre_rotation", "post_rotation", "hue"):
        assert_law(numbers[name], stats.uniform(-math.pi, 2 * math.pi))
    assert_law(numbers["brightness"], stats.norm(0, 0.2))
    assert_law(numbers["noise"], stats.halfnorm(0, 0.1))
    for axis, length in ((0, 80), (1, 40)):
        assert_law(numbers["xfrac"][:, axis], stats.norm(0, length / 8))
        shift = numbers["xint"][:, axis]
        assert torch.equal(shift, shift.round())
        assert float(shift.abs().max()) == length / 8
        assert abs(float(shift.std()) - length / 4 / math.sqrt(12)) < 0.03 * length / 4
    for name, count in (("xflip", 2), ("rotate90", 4), ("lumaflip", 2)):
        assert stats.chisquare(torch.bincount(numbers[name], minlength=count).numpy()).pvalue > 1e-3
    left, top, right, bottom = numbers["cutout"].unbind(1)
    assert ((right - left - 40).abs() <= 1).all()
    assert ((bottom - top - 20).abs() <= 1).all()
    assert_law((left + right) / 2 + torch.rand(4000) - 0.5, stats.uniform(0, 80))


def test_each_switch_acts_with_p_times_its_strength() -> None:
    numbers = drawn(ADA("bgcfnc", strengths={"hue": 0.5, "cutout": 0.0}, p=0.4))
    assert "cutout" not in numbers
    shares = {name: float((numbers[name] != 1).float().mean()) for name in ("scale", "aniso", "contrast", "saturation")}
    shares |= {name: float((numbers[name] != 0).float().mean()) for name in ("brightness", "noise")}
    shares |= {"xfrac": float(numbers["xfrac"].any(1).float().mean())}
    shares |= {"hue / 0.5": float((numbers["hue"] != 0).float().mean()) / 0.5}
    turned = (numbers["pre_rotation"] != 0) | (numbers["post_rotation"] != 0)
    shares |= {"either rotation": float(turned.float().mean())}
    shares |= {"a flip": 2 * float(numbers["xflip"].float().mean())}
    for name, share in shares.items():
        assert abs(share - 0.4) < 0.04, name


def test_switches_do_not_depend_on_each_other_or_on_the_policy() -> None:
    alone, among = drawn(ADA("color")), drawn(ADA("bgcfnc"))
    for name, value in alone.items():
        assert torch.equal(value, among[name]), name
    gates = torch.stack([value.float() for value in drawn(ADA("bgcfnc", p=0.5)).values() if value.ndim == 1])
    correlation = torch.corrcoef((gates != gates.mode(1).values[:, None]).float())
    assert (correlation - torch.eye(len(correlation))).abs().max() < 0.07


def test_amplified_bands_keep_the_power_of_a_natural_image() -> None:
    gains = drawn(ADA("filter", p=0.3))["gains"].double()
    power = torch.tensor([10, 1, 1, 1], dtype=torch.float64) / 13
    touched = (gains != 1).any(1)
    assert abs(float(touched.double().mean()) - (1 - 0.7**4)) < 0.03
    u = uniforms(sample_keys(torch.arange(4000), seed=4), ADA.uniforms)
    gates = u[:, 28:32] < 0.3  # after the columns of geometry and colour
    single = gates.sum(1) == 1
    assert ((gains[single].square() * power).sum(1) - 1).abs().max() < 1e-5
    for i in range(4):
        chosen = single & gates[:, i]
        others = gains[chosen][:, [j for j in range(4) if j != i]]
        factor = gains[chosen][:, i] / others[:, 0]
        assert_law(factor.log2(), stats.norm(0, 1))


def test_the_wavelet_is_the_least_asymmetric_of_six_vanishing_moments() -> None:
    """Daubechies' construction: of each root of the half-band polynomial in y = (2 - z - 1/z) / 4, one z of a pair."""
    roots = [y for y in np.roots([math.comb(5 + k, k) for k in range(5, -1, -1)]) if y.imag > -1e-9]
    factors = []
    for choice in itertools.product((0, 1), repeat=len(roots)):
        chosen = [sorted(np.roots([1, 4 * y - 2, 1]), key=abs)[i] for i, y in zip(choice, roots, strict=True)]
        mirrored = [z.conjugate() for z, y in zip(chosen, roots, strict=True) if abs(y.imag) > 1e-9]
        taps = np.real(np.poly([-1] * 6 + chosen + mirrored))
        factors.append(taps * math.sqrt(2) / taps.sum())

    frequency = np.linspace(0.01, 0.9 * np.pi, 200)

    def crookedness(taps: np.ndarray) -> float:
        phase = np.unwrap(np.angle(np.exp(-1j * np.outer(frequency, np.arange(12))) @ taps))
        return float(np.abs(phase - frequency * (frequency @ phase) / (frequency @ frequency)).max())

    best = min(map(crookedness, factors))
    symlets = [taps for taps in factors if crookedness(taps) < best + 1e-6]  # it and its mirror image
    assert min(np.abs(taps - np.array(SYM6)).max() for taps in symlets) < 1e-9


def test_bands_sum_to_the_image_and_lie_where_they_should() -> None:
    impulse = band_kernel(torch.ones(1, 4, dtype=torch.float64))[0]
    assert impulse[21] == 1
    assert impulse.abs().sum() == 1
    for band, (low, high) in enumerate([(0, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 1 / 2), (1 / 2, 1)]):
        response = np.fft.rfft(band_kernel(torch.eye(4, dtype=torch.float64)[band : band + 1])[0].numpy(), 512)
        share = (np.abs(response) ** 2)[round(256 * low) : round(256 * high) + 1].sum() / (np.abs(response) ** 2).sum()
        assert share > 0.75


def test_a_moved_image_is_sharp_and_in_place() -> None:
    """A smooth pattern turned, flipped and moved is the pattern at the turned places, within a hundredth."""
    at = torch.arange(48.0, dtype=torch.float64) + 0.5

    def pattern(x: Tensor, y: Tensor) -> Tensor:
        return torch.sin(0.35 * x + 0.3) * torch.cos(0.3 * y - 0.2)

    image = pattern(at[None, :], at[:, None])[None, None]
    size = Sizes.of((48, 48), None, torch.zeros(1, 1))
    for angle, flip, shift in ((0.5, 1, 0.0), (math.pi / 2, 1, 0.0), (math.pi, 1, 3.25), (0.0, -1, 0.0)):
        cos, sin = math.cos(angle), math.sin(angle)
        m = torch.tensor([[flip * cos, -sin, 0], [flip * sin, cos, 0], [0, 0, 1]], dtype=torch.float64)
        m[:2, 2] = 24 + shift - m[:2, :2] @ torch.full((2,), 24.0, dtype=torch.float64)
        x, y = (m[i, 0] * at[None, :] + m[i, 1] * at[:, None] + m[i, 2] for i in (0, 1))
        moved = warped(image, m[None], size, ragged=False)[0, 0]
        inside = slice(14, 34)
        torch.testing.assert_close(moved[inside, inside], pattern(x, y)[inside, inside], atol=0.01, rtol=0)


@given(height=st.integers(1, 12), width=st.integers(1, 12))
@settings(max_examples=20, deadline=None)
def test_the_identity_gives_the_image_back_at_any_size(height: int, width: int) -> None:
    image = torch.rand(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    eye = torch.eye(3, dtype=torch.float64).expand(2, 3, 3)
    torch.testing.assert_close(warped(image, eye, Sizes.of((height, width), None, eye), ragged=False), image)


@moving
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_sample_stands_alone_in_any_order(transform: Transform, dtype: torch.dtype) -> None:
    given, order = batch(dtype=dtype), torch.tensor([3, 0, 4, 1, 2])
    together = transform(given).image.double()
    torch.testing.assert_close(transform(given[order]).image.double(), together[order])
    for i in range(5):
        difference = (transform(given[i : i + 1]).image.double() - together[i]).abs().max()
        assert difference <= (1 if dtype == torch.uint8 else 1e-5)
    assert len(transform(given[:0])) == 0


@moving
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_samples_on_which_nothing_acts_are_bit_equal(transform: Transform, dtype: torch.dtype) -> None:
    given = batch(dtype=dtype)
    u = uniforms(given.key, transform.uniforms)
    assert torch.equal(transform.apply(given, u, torch.zeros(5, dtype=torch.bool)).image, given.image)
    assert transform(given).image.dtype == dtype
    transform.eval()
    assert torch.equal(transform(given).image, given.image)
    transform.train()
    if isinstance(transform, ADA):
        assert torch.equal(ADA("bgcfnc", p=0.0)(given).image, given.image)
        assert torch.equal(ADA("noise", strengths={"noise": 0})(given).image, given.image)
        some = ADA(transform.policy, p=0.02)(Batch(image=given.image, key=sample_keys(torch.arange(5), seed=1))).image
        assert (some == given.image).flatten(1).all(1).any()


@moving
def test_uint8_and_float_agree(transform: Transform) -> None:
    whole, real = transform(batch(dtype=torch.uint8)).image, transform(batch()).image
    assert (whole.double() - (real.double() * 255).clamp(0, 255)).abs().max() <= 1.01


@moving
def test_images_of_different_sizes_keep_to_their_own_pixels(transform: Transform) -> None:
    big, small = images(1, 36, 40)[0] / 255, images(1, 33, 35, seed=5)[0] / 255
    given = Batch.from_images([big, small]).replace(key=sample_keys(torch.arange(2)))
    dirty = torch.where(torch.arange(40) < given.size[:, 1, None, None, None], given.image, 200)
    alone = transform(small[None], keys=given.key[1:])
    for padded in (given, given.replace(image=dirty)):
        torch.testing.assert_close(transform(padded).image[1:, :, :33, :35], alone, atol=2e-5, rtol=0)


@moving
def test_nothing_waits_for_the_device(transform: Transform) -> None:
    with FakeTensorMode():
        image = torch.empty(8, 3, 32, 36, dtype=torch.uint8, device="cuda")
        transform(Batch(image=image, key=torch.empty(8, dtype=torch.int64, device="cuda")))


@pytest.mark.parametrize("transform", [MOVING["all"], MOVING["diffaugment"]], ids=["ada", "diffaugment"])
def test_the_graph_is_whole_and_equal_to_eager(transform: Transform) -> None:
    torch._dynamo.reset()
    given = batch()
    params = transform.draw(given)
    compiled = torch.compile(transform.play, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(given, params).image, transform.play(given, params).image, atol=1e-4, rtol=0)


def test_another_p_does_not_compile_again() -> None:
    torch._dynamo.reset()
    augment, given = ADA("color", p=0.0), batch()
    counter = CompileCounter()
    compiled = torch.compile(augment.play, fullgraph=True, backend=counter)
    results = []
    for p in (0.0, 0.3, 0.9):
        augment.p.fill_(p)
        results.append(compiled(given, augment.draw(given)).image)
        torch.testing.assert_close(results[-1], augment(given).image, atol=1e-4, rtol=0)
    assert counter.frame_count == 1
    assert torch.equal(results[0], given.image)
    assert not torch.equal(results[1], results[2])


@pytest.mark.parametrize("transform", [ADA("bgcfnc", p=0.9), DiffAugment()], ids=["ada", "diffaugment"])
def test_it_can_be_differentiated_twice(transform: Transform) -> None:
    image = torch.rand(2, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    u = uniforms(sample_keys(torch.arange(2), seed=8), transform.uniforms)
    chosen = torch.ones(2, dtype=torch.bool)

    def play(x: Tensor) -> Tensor:
        out: Tensor = transform.apply(Batch(image=x), u, chosen).image
        return out

    assert torch.autograd.gradcheck(play, image, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: play(x) ** 2, image, fast_mode=True)


def test_a_gradient_penalty_reaches_the_weights_through_it() -> None:
    """R1: the gradient of the squared gradient of D(augment(x)) by x, with respect to D's weights."""
    weight = torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    given = batch()
    image = given.image.clone().requires_grad_()
    score = torch.conv2d(MOVING["all"](given.replace(image=image)).image, weight).square().sum()
    (gradient,) = torch.autograd.grad(score, image, create_graph=True)
    (found,) = torch.autograd.grad(gradient.square().sum(), weight)
    assert torch.isfinite(found).all()
    assert found.abs().sum() > 0


def test_the_path_with_gradients_equals_the_one_without() -> None:
    given = batch()
    slow = MOVING["all"](given.replace(image=given.image.clone().requires_grad_())).image.detach()
    torch.testing.assert_close(slow, MOVING["all"](given).image, atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", [ADA, DiffAugment])
def test_images_in_minus_one_to_one_are_augmented_alike(kind: type[ADA | DiffAugment]) -> None:
    image, keys = images().double() / 255, sample_keys(torch.arange(5))
    wide = kind(value_range=(-1.0, 1.0))(2 * image - 1, keys=keys)
    torch.testing.assert_close((wide + 1) / 2, kind()(image, keys=keys))


@pytest.mark.parametrize("transform", [ADA("bgcfnc"), DiffAugment()], ids=["ada", "diffaugment"])
def test_one_channel_stays_what_three_alike_would_be_without_colour(transform: Transform) -> None:
    grey = images(4)[:, :1].double() / 255
    keys = sample_keys(torch.arange(4))
    one = transform(grey, keys=keys)
    assert one.shape == grey.shape
    assert torch.isfinite(transform(torch.full((2, 1, 1, 1), 0.3))).all()
    if isinstance(transform, ADA):
        without = ADA("bgcf")
        three = without(grey.expand(-1, 3, -1, -1), keys=keys)
        torch.testing.assert_close(three[:, :1], without(grey, keys=keys))
        torch.testing.assert_close(three[:, 2:], without(grey, keys=keys))


def test_five_channels_need_hue_off() -> None:
    image = torch.rand(2, 5, 9, 9)
    with pytest.raises(ValueError, match="hue needs images of 1 or 3 channels, got 5"):
        ADA("color")(image)
    assert ADA("bgcfnc", strengths={"hue": 0})(image).shape == image.shape
    assert DiffAugment()(image).shape == image.shape


def test_labels_that_would_have_to_move_are_refused() -> None:
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.int64)
    for transform in (ADA("bg"), DiffAugment("translation")):
        with pytest.raises(TypeError, match=r"without labels that move with its pixels, got \['mask'\]"):
            transform({"image": torch.rand(2, 3, 8, 8), "mask": mask})
        assert transform({"image": torch.rand(2, 3, 8, 8), "label": torch.arange(2)})["label"].tolist() == [0, 1]
    for transform in (ADA("color"), DiffAugment("color,cutout")):
        assert torch.equal(transform({"image": torch.rand(2, 3, 8, 8), "mask": mask})["mask"], mask)


def test_diffaugment_has_the_laws_of_the_paper() -> None:
    numbers = drawn(DiffAugment(), canvas=(41, 80))
    assert_law(numbers["brightness"], stats.uniform(-0.5, 1))
    assert_law(numbers["saturation"], stats.uniform(0, 2))
    assert_law(numbers["contrast"], stats.uniform(0.5, 1))
    for axis, reach in ((0, 10), (1, 5)):
        counts = torch.bincount((numbers["translation"][:, axis] + reach).long(), minlength=2 * reach + 1)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    left, top, right, bottom = numbers["cutout"].unbind(1)
    assert (right - left == 40).all()
    assert (bottom - top == 21).all()
    assert (float(left.min()), float(right.max())) == (-20, 100)
    assert (float(top.min()), float(bottom.max())) == (-10, 51)


def test_the_order_of_a_policy_is_kept() -> None:
    image, keys = images(3), sample_keys(torch.arange(3))
    first, last = (DiffAugment(policy)(image, keys=keys) for policy in ("cutout,color", "color,cutout"))
    assert not torch.equal(first, last)


def test_p_rises_while_the_discriminator_overfits_and_falls_else() -> None:
    augment = ADA("bgc", p=0.5)
    control = AdaptiveP(augment, target=0.6, kimg=1.0, interval=2)
    for signs, expected in ((torch.ones(50), 0.5), (torch.full((50,), 3.0), 0.6)):
        control.update(signs)  # every second minibatch, by its images over those of the whole way
        assert augment.p.item() == pytest.approx(expected)
    mixed = torch.cat([torch.ones(75), -torch.ones(25)])  # r = 0.5
    control.update(mixed)
    control.update(mixed)
    assert augment.p.item() == pytest.approx(0.4)
    for _ in range(20):
        control.update(-torch.ones(200))
    assert augment.p.item() == 0
    for _ in range(20):
        control.update(torch.ones(200))
    assert augment.p.item() == 1


def test_the_controller_never_waits_for_the_device() -> None:
    with FakeTensorMode():
        control = AdaptiveP(ADA("bgc", p=0.0).to("cuda")).to("cuda")
        for _ in range(8):
            control.update(torch.empty(16, 1, device="cuda", requires_grad=True))


def test_p_is_kept_in_a_checkpoint_and_moves_with_the_module() -> None:
    augment = ADA("bgc", p=0.25)
    restored = ADA("bgc")
    restored.load_state_dict(augment.state_dict())
    assert restored.p.item() == 0.25
    assert Compose([augment]).state_dict()
    assert not list(augment.parameters())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ADA("bgz"), "policy must be one of"),
        (lambda: ADA(strengths={"flip": 1.0}), r"got \['flip'\]"),
        (lambda: ADA(strengths={"hue": 2.0}), r"strengths\['hue'\]: p must be a chance"),
        (lambda: ADA(p=1.5), "p must be a chance"),
        (lambda: ADA(value_range=(1, 0)), "value_range must be"),
        (lambda: DiffAugment("colour"), "policy must be some of"),
        (lambda: DiffAugment("color,color"), "once each"),
        (lambda: DiffAugment(value_range=(0, 0)), "value_range must be"),
        (lambda: AdaptiveP(ADA(), target=2), "target must be"),
        (lambda: AdaptiveP(ADA(), interval=0), "interval must be a whole number of at least 1"),
    ],
)
def test_wrong_arguments_are_refused(make: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()  # type: ignore[operator]


def test_every_policy_is_made_of_switches() -> None:
    assert {name for names in POLICIES.values() for name in names} == set(SWITCHES)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@moving
def test_cpu_and_cuda_agree_without_a_wait(transform: Transform) -> None:
    given = batch()
    on_gpu = given.to("cuda")
    transform(on_gpu)
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = transform(on_gpu).image
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result.cpu(), transform(given).image, atol=1e-3, rtol=0)
