"""Laws of the automatic policies, their tables, and timm's configuration strings."""

# parts of torchvision and scipy have no types, and some arguments are wrong on purpose
# mypy: disable-error-code="arg-type, index, union-attr, no-any-return, operator"
from __future__ import annotations

import copy
import pickle
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2
from zoo_policies import MORE, ZOO

from torchaug import Batch, Compose
from torchaug.image.augmix import AugMix, dirichlet
from torchaug.image.geometry import RandomResizedCrop
from torchaug.image.policies import AutoAugment, Policy, RandAugment, ThreeAugment, TrivialAugmentWide, look_up
from torchaug.image.policy_ops import BitBins, Border
from torchaug.image.policy_tables import MIX, POLICIES, RAND, WIDE, Space, subpolicies, timm_operations
from torchaug.image.timm import TimmAugMix, TimmAutoAugment, TimmRandAugment, timm_augment
from torchaug.image.warp import Geometric
from torchaug.keys import sample_keys, uniforms
from torchaug.signature import constructor_arguments
from torchaug.transform import Sizes, Transform

COUNT = 20000
EVERY = ZOO | MORE
SPACES: dict[str, tuple[Space, Any]] = {
    "rand": (RAND, v2.RandAugment._AUGMENTATION_SPACE),
    "auto": (RAND, v2.AutoAugment._AUGMENTATION_SPACE),
    "wide": (WIDE, v2.TrivialAugmentWide._AUGMENTATION_SPACE),
    "mix": (MIX, v2.AugMix._AUGMENTATION_SPACE),
}


def numbers(columns: int, seed: int = 0) -> Tensor:
    return uniforms(sample_keys(torch.arange(COUNT), seed=seed), columns)


def counts(values: Tensor, bins: int) -> list[int]:
    return torch.bincount(values, minlength=bins).tolist()


def likely(observed: list[int], expected: list[float] | None = None) -> bool:
    """Whether a chi-square test lets the counts pass; seeds are fixed, so it does so for good."""
    return stats.chisquare(observed, expected).pvalue > 1e-3


def leaf(policy: Policy, name: str) -> Transform:
    return policy.leaves()[policy.names.index(name)]


def operations(policy: Policy, u: Tensor) -> list[Tensor]:
    """(B,) for each slot: the operation whose gate is open, or the number of operations."""
    calls = policy.route(u, torch.ones(len(u), dtype=torch.bool))
    places = [i for slot in range(policy.slots) for i in policy._order(slot)]
    size = len(policy.names)
    slots = []
    for slot in range(policy.slots):
        found = torch.full((len(u),), size)
        for i, call in zip(
            places[slot * size : (slot + 1) * size], calls[slot * size : (slot + 1) * size], strict=True
        ):
            assert not (call.chosen & (found < size)).any(), "two operations of one slot act on a sample"
            found = torch.where(call.chosen, i, found)
        slots.append(found)
    return slots


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("bins", [2, 10, 31])
def test_the_value_of_every_bin_is_torchvisions(name: str, bins: int) -> None:
    space, theirs = SPACES[name]
    ours = space.operations(bins, Border("nearest", (0.0,)))
    u = torch.stack([(torch.arange(bins) + 0.5) / bins, torch.ones(bins)], 1)
    for height, width in [(32, 36), (331, 662), (224, 1), (7, 993)]:
        size = Sizes.of((height, width), None, u)
        for operation, (table, signed) in theirs.items():
            values = table(bins, height, width)
            if values is None:
                assert operation == "Identity" or ours[operation].drawn(u, size) == {}
                continue
            magnitude = ours[operation].drawn(u, size)["magnitude"]
            whole = operation.startswith("Translate")
            assert torch.equal(magnitude, values.float().trunc() if whole else values.float()), operation
            minus = ours[operation].drawn(torch.stack([u[:, 0], 0 * u[:, 1]], 1), size)["magnitude"]
            assert torch.equal(minus, -magnitude if signed else magnitude), operation


@pytest.mark.parametrize(("name", "bins"), [("rand", 31), ("rand", 20), ("auto", 10), ("wide", 31), ("mix", 10)])
def test_shifts_are_torchvisions_pixels_for_every_width(name: str, bins: int) -> None:
    space, theirs = SPACES[name]
    ours = space.operations(bins, Border("nearest", (0.0,)))["TranslateX"]
    u = torch.stack([(torch.arange(bins) + 0.5) / bins, torch.ones(bins)], 1)
    for width in range(1, 700):
        expected = theirs["TranslateX"][0](bins, 5, width).trunc()
        assert torch.equal(ours.drawn(u, Sizes.of((5, width), None, u))["magnitude"], expected), width


@pytest.mark.parametrize("name", POLICIES)
def test_autoaugments_sub_policies_are_torchvisions(name: str) -> None:
    theirs = v2.AutoAugment(v2.AutoAugmentPolicy(name))._policies
    ours = [tuple((s.name, s.tenths / 10, s.magnitude) for s in steps) for steps in subpolicies(POLICIES[name])]
    assert ours == [tuple((op, p, m or 0) for op, p, m in steps) for steps in theirs]
    assert AutoAugment(v2.AutoAugmentPolicy(name)).policy == name


def test_randaugment_draws_each_operation_alike_in_each_slot_on_its_own() -> None:
    policy = RandAugment(num_ops=3)
    slots = operations(policy, numbers(policy.columns))
    for slot in slots:
        assert likely(counts(slot, 14))
    for a, b in pairwise(slots):
        assert likely(counts(a * 14 + b, 196))


def test_randaugment_has_one_magnitude_with_either_sign() -> None:
    policy = RandAugment(magnitude=7)
    (first, _) = policy.choose(numbers(policy.columns)[:, 1:])
    magnitude = leaf(policy, "ShearX").drawn(first.u, Sizes.of((32, 32), None, first.u))["magnitude"]
    assert sorted(magnitude.unique().tolist()) == pytest.approx([-0.07, 0.07])
    assert likely([int((magnitude < 0).sum()), int((magnitude > 0).sum())])


def test_trivialaugment_draws_operations_and_bins_alike() -> None:
    policy = TrivialAugmentWide()
    u = numbers(policy.columns)
    (slot,) = operations(policy, u)
    assert likely(counts(slot, 14))
    (choice,) = policy.choose(u[:, 1:])
    bins = (choice.u[:, 0] * 31).floor().to(torch.int64)
    assert likely(counts(bins, 31))
    assert likely(counts(slot * 31 + bins, 14 * 31))


@pytest.mark.parametrize("name", POLICIES)
def test_autoaugment_draws_each_sub_policy_alike_and_each_step_with_its_chance(name: str) -> None:
    policy = AutoAugment(name)
    for slot, found in enumerate(operations(policy, numbers(policy.columns))):
        expected = dict.fromkeys(policy.names, 0.0)
        for steps in subpolicies(POLICIES[name]):
            expected[steps[slot].name] += steps[slot].tenths / 10 / 25 * COUNT
        acts = [expected[operation] for operation in policy.names]
        observed, wanted = counts(found, len(acts) + 1), [*acts, COUNT - sum(acts)]
        pairs = [(o, w) for o, w in zip(observed, wanted, strict=True) if w > 1e-6 or o]
        assert likely(*map(list, zip(*pairs, strict=True)))


@given(st.lists(st.integers(0, 15), min_size=1, max_size=30))
def test_a_packed_table_gives_back_its_entries(table: list[int]) -> None:
    assert look_up(table, torch.arange(len(table))).tolist() == table


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0, 30.0])
def test_mixing_weights_follow_the_dirichlet_law(alpha: float) -> None:
    weights = dirichlet(numbers(3), alpha)
    torch.testing.assert_close(weights.sum(1), torch.ones(COUNT))
    for column in weights.T:
        assert stats.kstest(column.numpy(), stats.beta(alpha, 2 * alpha).cdf).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.5, 2.5, 100.0])
def test_gamma_quantiles_are_scipys(alpha: float) -> None:
    u = torch.tensor([0.001, 0.1, 0.5, 0.9, 0.999])
    expected = torch.from_numpy(stats.gamma(alpha).ppf(u.double().numpy()))
    ratio = dirichlet(torch.stack([u, torch.full_like(u, 0.5)], 1), alpha)
    torch.testing.assert_close(
        (ratio[:, 0] / ratio[:, 1]).double(), expected / stats.gamma(alpha).ppf(0.5), rtol=2e-4, atol=0
    )


def test_uniforms_at_their_ends_make_finite_weights() -> None:
    ends = torch.tensor([[0.0, 0.0, 0.0], [1 - 2.0**-24] * 3, [0.0, 1 - 2.0**-24, 0.5]])
    for alpha in (0.01, 0.1, 1.0, 1000.0):
        weights = dirichlet(ends, alpha)
        assert torch.isfinite(weights).all()
        torch.testing.assert_close(weights.sum(1), torch.ones(3))


def test_augmix_draws_depths_operations_and_magnitudes_by_its_laws() -> None:
    augmix = AugMix(severity=4, mixture_width=2)
    drawn = augmix.drawn(numbers(augmix.columns)[:, 1:], Sizes.of((32, 32), None, torch.zeros(COUNT)))
    depth = (drawn["which"] >= 0).sum(2)
    for chain in depth.T:
        assert likely(counts(chain - 1, 3))
    assert likely(counts(drawn["which"][drawn["which"] >= 0], 13))
    assert likely(counts((drawn["level"] * 10).floor().to(torch.int64).flatten(), 4))
    assert stats.kstest(drawn["share"].numpy(), "uniform").pvalue > 1e-3
    assert abs(float((drawn["sign"] < 0.5).float().mean()) - 0.5) < 0.01


def test_augmix_changes_the_image_alone_and_a_fixed_depth_holds() -> None:
    augmix = AugMix(chain_depth=2)
    batch = Batch(image=torch.rand(8, 3, 16, 16), mask=torch.randint(0, 3, (8, 1, 16, 16)), label=torch.arange(8))
    out = augmix(batch)
    assert torch.equal(out.mask, batch.mask)
    assert torch.equal(out.label, batch.label)
    assert not torch.equal(out.image, batch.image)
    (record,) = augmix.describe(augmix.draw(batch), 0)
    assert all(place >= 0 for chain in record["which"] for place in chain)


def test_without_all_ops_augmix_leaves_out_what_imagenet_c_tests() -> None:
    assert len(AugMix().chain.names) == 13
    assert set(AugMix().chain.names) - set(AugMix(all_ops=False).chain.names) == {
        "Brightness",
        "Color",
        "Contrast",
        "Sharpness",
    }


def test_a_mask_follows_the_image() -> None:
    mask = torch.arange(30 * 36).view(1, 1, 30, 36).remainder(5).to(torch.uint8).expand(64, 1, 30, 36)
    policy = TrivialAugmentWide()
    batch = Batch(image=mask * 50, mask=mask, key=sample_keys(torch.arange(64)))
    params, out = policy.draw(batch), policy(batch)
    moved = 0
    for i in range(64):
        names = [record["transform"] for record in policy.describe(params, i) if record["applied"]]
        if names and names[0] in ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"):
            assert torch.equal(out.image[i], out.mask[i] * 50)
            moved += not torch.equal(out.mask[i], mask[i])
    assert moved > 10


def test_a_sample_that_draws_the_identity_is_bit_equal() -> None:
    policy = TrivialAugmentWide(interpolation="bilinear")
    batch = Batch(image=torch.rand(64, 3, 9, 8), key=sample_keys(torch.arange(64)))
    params, out = policy.draw(batch), policy(batch).image
    idle = [i for i in range(64) if not any(record["applied"] for record in policy.describe(params, i))]
    assert idle
    for i in idle:
        assert torch.equal(out[i], batch.image[i])


def test_the_slots_of_a_policy_alternate_so_that_pixels_are_passed_over_once() -> None:
    kinds = [isinstance(run.steps[0], Geometric) for run in RandAugment().runs()]
    assert kinds == [True, False, True]
    folded = Compose([RandomResizedCrop(24), RandAugment(interpolation="bilinear")])
    assert [len(run.steps) for run in folded.runs()] == [6, 16, 5], folded.explain()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (2, 1, 9, 2), (2, 3, 2, 7), (2, 5, 8, 8)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16, torch.float64])
def test_odd_images_come_out_finite_in_their_dtype(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if name == "three_augment" and shape[1] == 5:
        pytest.skip("for 1 or 3 channels, as it says")
    image = torch.full(shape, 0.5).to(dtype) if dtype != torch.uint8 else torch.full(shape, 200, dtype=dtype)
    out = EVERY[name](image)
    assert out.dtype == dtype
    assert out.shape == shape
    assert torch.isfinite(out.float()).all()
    if dtype != torch.uint8:
        assert 0 <= out.min() <= out.max() <= 1.004


@pytest.mark.parametrize("name", EVERY)
def test_a_copy_a_pickle_and_one_made_from_its_arguments_do_the_same(name: str) -> None:
    layer = EVERY[name]
    batch = Batch(image=torch.rand(4, 3, 8, 8), key=sample_keys(torch.arange(4)))
    others = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    if not isinstance(layer, Compose):
        others.append(type(layer)(**constructor_arguments(layer)))
    for other in others:
        assert torch.equal(other(batch).image, layer(batch).image)


def test_three_augment_draws_each_of_the_three_alike() -> None:
    layer = ThreeAugment()
    calls = layer.route(numbers(layer.columns), torch.ones(COUNT, dtype=torch.bool))
    assert likely([int(call.chosen.sum()) for call in calls[:3]])
    assert torch.stack([call.chosen for call in calls[:3]]).sum(0).eq(1).all()
    assert calls[3].chosen.all()


# --- timm ---


def level(policy: TimmRandAugment) -> Tensor:
    return policy.choose(numbers(policy.columns)[:, 1:])[0].u[:, 0] * 10


def test_timms_magnitude_is_normal_and_clipped() -> None:
    drawn = level(TimmRandAugment("rand-m9-mstd0.5"))
    inside = drawn[drawn < 10]
    assert stats.kstest(inside.numpy(), stats.truncnorm(-18, 2, 9, 0.5).cdf).pvalue > 1e-3
    assert float((drawn == 10).float().mean()) == pytest.approx(1 - stats.norm.cdf(2), abs=0.004)
    assert level(TimmRandAugment("rand-m9")).eq(9).all()
    assert level(TimmRandAugment("rand-mstd3-m14-mmax15")).max() == 15
    assert stats.kstest(level(TimmRandAugment("rand-m8-mstd101")).numpy(), stats.uniform(0, 8).cdf).pvalue > 1e-3


def test_timms_operations_come_with_half_the_chance_or_what_p_says() -> None:
    for text, chance in (("rand", 0.5), ("rand-p0.9", 0.9)):
        policy = TimmRandAugment(text)
        for slot in operations(policy, numbers(policy.columns)):
            assert likely(counts(slot, 16), [*[COUNT * chance / 15] * 15, COUNT * (1 - chance)])


def test_timms_weighted_operations_follow_their_weights_and_do_not_repeat() -> None:
    policy = TimmRandAugment("rand-p1-t3aw")
    first, second = operations(policy, numbers(policy.columns))
    weights = [{"Blur": 6, "Desaturate": 6, "SolarizeIncreasing": 6, "Rotate": 3}.get(n, 1) for n in policy.names]
    weights = [2 if name.startswith("Shear") else weight for name, weight in zip(policy.names, weights, strict=True)]
    assert likely(counts(first, 14), [weight / 33 * COUNT for weight in weights])
    assert (first != second).all()
    blur = policy.names.index("Blur")
    after_blur = counts(second[first == blur], 14)
    rest = [weight / (33 - 6) * sum(after_blur) for weight in weights]
    assert after_blur.pop(blur) == 0
    rest.pop(blur)
    assert likely(after_blur, rest)


def test_inc1_takes_the_operations_that_grow_stronger() -> None:
    plain, increasing = TimmRandAugment("rand-m9"), TimmRandAugment("rand-m9-inc1")
    assert "Solarize" in plain.names
    assert "SolarizeIncreasing" in increasing.names
    assert len(plain.names) == len(increasing.names) == 15
    assert TimmRandAugment("rand-inc0").names == plain.names


def test_increasing_operations_do_nothing_at_level_0_and_most_at_level_1() -> None:
    operations_, ends = timm_operations(Border("nearest", (0.0,))), torch.tensor([[0.0, 0.9], [1.0, 0.9]])
    size = Sizes.of((10, 20), None, ends)
    expected = {
        "PosterizeIncreasing": [4, 0],
        "SolarizeIncreasing": [255.5 / 255, -0.5 / 255],
        "ColorIncreasing": [0, 0.9],
        "Color": [-0.9, 0.9],
        "TranslateXRel": [0, 9],
        "TranslateYRel": [0, 4.5],
        "Rotate": [0, 30],
        "SolarizeAdd": [0, 110 / 255],
        "Desaturate": [-0.5, -1],
        "Blur": [0.1, 2],
    }
    for name, values in expected.items():
        assert operations_[name].drawn(ends, size)["magnitude"].tolist() == pytest.approx(values, abs=1e-6), name


def test_the_names_of_timms_policies_lead_to_their_kinds() -> None:
    kinds = {"rand-m9-mstd0.5-inc1": TimmRandAugment, "original-mstd0.5": TimmAutoAugment, "v0r": TimmAutoAugment}
    for text, kind in (kinds | {"3a": TimmAutoAugment, "augmix-m3-w3": TimmAugMix}).items():
        (policy,) = timm_augment(text).transforms
        assert type(policy) is kind
        assert policy.config == text
    augmix = TimmAugMix("augmix-m5-w4-d2-a2-b1")
    assert (augmix.width, augmix.depth, augmix.alpha) == (4, 2, 2.0)


def test_dei_t_three_of_timm_is_grey_solarised_or_blurred() -> None:
    policy = TimmAutoAugment("3a")
    (choice,) = policy.choose(numbers(policy.columns)[:, 1:])
    assert likely(counts(choice.which, 3))
    sigma = leaf(policy, "BlurRandomly").drawn(choice.u, Sizes.of((8, 8), None, choice.u))["magnitude"]
    sigma = sigma[choice.which == policy.names.index("BlurRandomly")]
    assert stats.kstest(sigma.numpy(), stats.uniform(0.1, 1.9).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fancy-m9", "must start with one of rand, augmix, original.* got 'fancy' in 'fancy-m9'"),
        ("rand-m9-x7", "a section must start with one of m, n, p.* got 'x7' in 'rand-m9-x7'"),
        ("rand-m", "'m' needs a number of at least 0 after it, got 'm' in 'rand-m'"),
        ("rand-mnan", "'m' needs a number of at least 0 after it, got 'mnan'"),
        ("rand-n0", "'n' needs a whole number of at least 1 after it, got 'n0'"),
        ("rand-p1.5", "'p' needs a chance from 0 to 1 after it, got 'p1.5'"),
        ("rand-inc2", "'inc' needs 0 or 1 after it, got 'inc2'"),
        ("rand-tall", "'t' needs one of weights, 3aw, 3a after it, got 'tall'"),
        ("rand-m9-m8", "a section may come once, got a second 'm8'"),
        ("rand-n20-tweights", "n must be at most 15"),
        ("original-m9", "a section must start with one of mstd, got 'm9'"),
        ("augmix-w0", "'w' needs a whole number"),
        ("augmix-a0", "alpha must be a number above 0"),
        ("", "got ''"),
    ],
)
def test_a_wrong_configuration_string_is_told_with_the_part_that_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        timm_augment(text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandAugment(num_ops=0), "num_ops must be a whole number of at least 1"),
        (lambda: RandAugment(magnitude=31), r"magnitude must be a whole number in \[0, 30\]"),
        (lambda: RandAugment(num_magnitude_bins=1), "num_magnitude_bins must be a whole number of at least 2"),
        (lambda: RandAugment(interpolation="lanczos"), "RandAugment: interpolation"),
        (lambda: RandAugment(fill=128), "divide levels by 255"),
        (lambda: RandAugment(p=2), "p must be a chance"),
        (lambda: TrivialAugmentWide(0), "num_magnitude_bins"),
        (lambda: AutoAugment("mnist"), "policy must be one of imagenet, cifar10, svhn, got 'mnist'"),
        (lambda: AugMix(severity=11), r"severity must be a whole number in \[1, 10\]"),
        (lambda: AugMix(mixture_width=0), "mixture_width must be a whole number of at least 1"),
        (lambda: AugMix(alpha=0), "alpha must be a number above 0, got 0"),
        (lambda: AugMix(p=-1), "p must be a chance"),
    ],
)
def test_wrong_arguments_are_told(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_augmix_says_that_it_needs_an_image() -> None:
    with pytest.raises(TypeError, match="AugMix: expected a batch with an image"):
        AugMix()(Batch(mask=torch.zeros(2, 1, 4, 4, dtype=torch.int64)))


def test_posterisation_bins_round_half_to_even_as_torchvision() -> None:
    u = torch.stack([(torch.arange(9) + 0.5) / 9, torch.zeros(9)], 1)
    assert BitBins(8, 4, 9)(u, Sizes.of((1, 1), None, u)).tolist() == [8, 8, 7, 6, 6, 6, 5, 4, 4]
