"""Counts to add, the shift of the prior that they bring, and its correction, against Bayes' rule in closed form."""

# mypy: disable-error-code="arg-type"
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from torchaug.data import MixedSampler, Source, TableDataset, TopUp, prior_correct, prior_shift, wine
from torchaug.data.shares import Wanted

REAL = {"ok": 900, "dent": 100, "crack": 9, "never": 0}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("balance", {"dent": 800, "crack": 891}),
        ("ratio:1", {"dent": 800, "crack": 891}),
        ("ratio:0.3", {"dent": 170, "crack": 261}),
        ("ratio:0.1", {"crack": 81}),  # 0.1 * 900 = 90 < 100 dents: none taken away
        ("sqrt", {"dent": 200, "crack": 81}),
    ],
)
def test_counts_are_those_of_the_formula(strategy: str, expected: dict[str, int]) -> None:
    assert TopUp(strategy).counts(REAL) == expected


def test_counts_of_data_sets_tensors_and_lists() -> None:
    assert TopUp().counts(wine()) == {"class_0": 12, "class_2": 23}
    assert TopUp().counts([2, 5, 5]) == TopUp().counts(torch.tensor([2, 5, 5])) == {0: 3}
    assert TopUp().counts([5, 5]) == {}
    assert TopUp().prior_shift(REAL).tolist()[-1] == 0
    assert repr(TopUp("sqrt")) == "TopUp('sqrt')"


def test_the_shift_is_the_log_of_the_ratio_of_priors() -> None:
    shift = TopUp("ratio:0.3").prior_shift(REAL)
    before, after = np.array([900, 100, 9]), np.array([900, 270, 270])
    np.testing.assert_allclose(shift[:3], np.log(after / after.sum() / (before / before.sum())), rtol=1e-12)
    torch.testing.assert_close(prior_shift([1, 3], [0.5, 0.5]), prior_shift(torch.tensor([100, 300]), [7, 7]))


class Gaussians:
    """Two classes of unit Gaussians at -1 and +1, whose posterior is known: log-odds 2 x + log(prior odds)."""

    def __init__(self, rare: float, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.y = (torch.rand(count, generator=generator) < rare).long()
        self.x = torch.randn(count, generator=generator, dtype=torch.float64) + 2 * self.y - 1

    def fitted(self) -> Callable[[Tensor], Tensor]:
        """Log-odds of a logistic regression, by Newton's method."""
        features = torch.stack([self.x, torch.ones_like(self.x)], 1)
        weights = torch.zeros(2, dtype=torch.float64)
        for _ in range(30):
            p = (features @ weights).sigmoid()
            hessian = (features * (p * (1 - p))[:, None]).T @ features
            weights = weights + torch.linalg.solve(hessian, features.T @ (self.y - p))
        return lambda x: weights[0] * x + weights[1]


def brier(p: Tensor, y: Tensor) -> float:
    return float((p - y).square().mean())


def test_a_model_trained_at_another_prior_gives_bayes_posterior_back() -> None:
    true, test = 0.05, Gaussians(0.05, 40000, seed=1)
    odds = Gaussians(0.5, 40000, seed=0).fitted()(test.x)
    shift = prior_shift([0.5, 0.5], [1 - true, true])
    bayes = (2 * test.x + math.log(true / (1 - true))).sigmoid()
    corrected = prior_correct(odds, shift).sigmoid()
    assert (odds.sigmoid() - bayes).abs().max() > 0.5
    assert (corrected - bayes).abs().max() < 0.05
    assert brier(corrected, test.y) < 0.5 * brier(odds.sigmoid(), test.y)
    assert brier(corrected, test.y) == pytest.approx(brier(bayes, test.y), rel=0.01)
    assert float(corrected.mean()) == pytest.approx(true, abs=0.005)  # calibrated in the large


def test_all_kinds_of_scores_say_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 2, generator=generator, dtype=torch.float64)
    shift = prior_shift([60, 40], [97, 3])
    expected = prior_correct(logits, shift).softmax(-1)
    odds = logits[:, 1] - logits[:, 0]
    torch.testing.assert_close(prior_correct(logits.softmax(-1), shift, probabilities=True), expected)
    torch.testing.assert_close(prior_correct(odds, shift).sigmoid(), expected[:, 1])
    torch.testing.assert_close(prior_correct(odds.sigmoid(), shift, probabilities=True), expected[:, 1])
    ratio = torch.tensor([0.97 / 0.6, 0.03 / 0.4], dtype=torch.float64)  # Saerens et al., equation 4
    by_hand = logits.softmax(-1) * ratio / (logits.softmax(-1) * ratio).sum(-1, keepdim=True)
    torch.testing.assert_close(expected, by_hand)
    array = prior_correct(logits.softmax(-1).numpy(), shift.tolist(), probabilities=True)
    assert isinstance(array, np.ndarray)
    np.testing.assert_allclose(array, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dtype_shape_and_input_are_kept(dtype: torch.dtype) -> None:
    logits = torch.randn(2, 5, 3).to(dtype)
    before = logits.clone()
    out = prior_correct(logits, torch.tensor([0.5, 0.0, -1.0]))
    assert (out.dtype, out.shape) == (dtype, logits.shape)
    assert torch.equal(logits, before)
    assert prior_correct(np.zeros((4, 3), dtype=np.float32), [0.0, 1.0, 2.0]).dtype == np.float32


def test_certainty_stays() -> None:
    shift = prior_shift([1, 1], [9, 1])
    certain = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert torch.equal(prior_correct(certain, shift, probabilities=True), certain)
    assert prior_correct(torch.tensor([0.0, 1.0]), shift, probabilities=True).tolist() == [0.0, 1.0]


@given(
    counts=st.lists(st.integers(1, 10**6), min_size=2, max_size=8),
    strategy=st.sampled_from(["balance", "sqrt", "ratio:0.05", "ratio:0.7"]),
)
@settings(max_examples=60, deadline=None)
def test_topping_up_only_adds_and_keeps_the_order(counts: list[int], strategy: str) -> None:
    extra = TopUp(strategy).counts(counts)
    after = [count + extra.get(place, 0) for place, count in enumerate(counts)]
    assert max(after) == max(counts)
    assert all(b >= a for a, b in zip(counts, after, strict=True))
    assert all(x <= y for a, x in zip(counts, after) for b, y in zip(counts, after) if a <= b)  # noqa: B905
    shift = TopUp(strategy).prior_shift(counts)
    there_and_back = prior_correct(prior_correct(torch.zeros(1, len(counts)).double(), shift), -shift)
    torch.testing.assert_close(there_and_back, torch.zeros(1, len(counts)).double(), atol=1e-9, rtol=0)


def sources(weights: bool = False, groups: bool = False) -> list[Source]:
    real, made = torch.tensor([0] * 90 + [1] * 9 + [2]), torch.tensor([0] * 10 + [1] * 20 + [2] * 30)
    weigh = {"weights": torch.linspace(0, 2, 60)} if weights else {}
    where = [{"groups": torch.arange(len(labels)) % 2} if groups else {} for labels in (real, made)]
    return [
        Source("real", 100, labels=real, **where[0]),
        Source("bank", 60, labels=made, kind="bank", **weigh, **where[1]),
    ]


@pytest.mark.parametrize("classes", [None, "fill", "proportional", {1: 3, 2: 1}], ids=str)
@pytest.mark.parametrize("real_classes", [None, "balanced", {0: 1, 1: 1, 2: 2}], ids=str)
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_a_sampler_knows_the_prior_of_its_mixture(classes: Wanted, real_classes: Wanted, share: float) -> None:
    sampler = MixedSampler(
        sources(), share, batch_size=100, steps_per_epoch=200, classes=classes, real_classes=real_classes
    )
    labels = torch.cat([source.labels for source in sources() if source.labels is not None])
    drawn = labels[torch.tensor(list(sampler))].bincount(minlength=3) / len(sampler)
    assert sum(sampler.class_shares.values()) == pytest.approx(1)
    assert [*sampler.class_shares.values()] == pytest.approx(drawn.tolist(), abs=2e-3)


def test_a_sampler_knows_the_prior_with_weights_groups_schedules_and_names() -> None:
    labels = torch.cat([source.labels for source in sources() if source.labels is not None])
    for sampler in (
        MixedSampler(sources(weights=True), 0.5, batch_size=100, steps_per_epoch=300, min_weight=0.4),
        MixedSampler(sources(groups=True), 0.25, batch_size=100, steps_per_epoch=300, classes="fill", by="class_group"),
        MixedSampler(sources(), lambda at: at / 2, batch_size=100, steps_per_epoch=300, epochs=1, classes="fill"),
    ):
        drawn = labels[torch.tensor(list(sampler))].bincount(minlength=3) / len(sampler)
        assert [*sampler.class_shares.values()] == pytest.approx(drawn.tolist(), abs=2e-3)
    named = MixedSampler([Source.real(wine())], 0.0, batch_size=10)
    assert named.class_shares == pytest.approx({"class_0": 59 / 178, "class_1": 71 / 178, "class_2": 48 / 178})
    assert prior_shift(named.class_shares, wine()).abs().max() < 1e-12
    with pytest.raises(ValueError, match="'real' must have labels to know the shares of classes"):
        _ = MixedSampler([Source("real", 10)], 0.0, batch_size=2).class_shares


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "strategy": (lambda: TopUp("double"), "strategy must be 'balance', 'sqrt' or 'ratio:R'"),
    "ratio": (lambda: TopUp("ratio:1.5"), "R in"),
    "no_ratio": (lambda: TopUp("ratio:"), "R in"),
    "nan": (lambda: TopUp("ratio:nan"), "R in"),
    "nothing": (lambda: TopUp().counts([0, 0]), "TopUp.counts: expected counts or shares"),
    "shares": (lambda: TopUp().counts([0.9, 0.1]), "counts of classes, whole numbers"),
    "unlabelled": (
        lambda: TopUp().counts(TableDataset(wine().numeric, wine().categorical, wine().columns)),
        "with labels, got a TableDataset without",
    ),
    "logits": (
        lambda: prior_correct(torch.tensor([1.5, 0.2]), torch.zeros(2), probabilities=True),
        r"must be in \[0, 1\]",
    ),
    "below": (lambda: prior_shift([1, -1], [1, 1]), "0 or more"),
    "others": (lambda: prior_shift({"a": 1, "b": 1}, [1, 1]), "the same classes"),
    "one_alone": (lambda: prior_shift([1, 1], [1, 0]), "class 1 must be in both or in neither"),
    "width": (lambda: prior_correct(torch.zeros(4, 3), torch.zeros(2)), "scores must be floating point"),
    "whole": (lambda: prior_correct(torch.zeros(4, 2, dtype=torch.int64), torch.zeros(2)), "int64"),
    "flat": (lambda: prior_correct(torch.zeros(3), torch.zeros(3)), r"or \(B,\) of the second of two classes"),
}


@pytest.mark.parametrize(("wrong", "text"), WRONG.values(), ids=WRONG)
def test_misuse_is_told(wrong: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        wrong()


def test_probabilities_that_rounding_took_out_of_range_and_read_only_arrays_are_corrected() -> None:
    shift = prior_shift([50, 50], [90, 10])
    scores = np.array([1.0000000000000002, -1e-9, 0.5])
    scores.flags.writeable = False
    np.testing.assert_allclose(prior_correct(scores, shift, probabilities=True), [1, 0, 0.1], atol=1e-6)
    with pytest.raises(ValueError, match="are these logits"):
        prior_correct(np.array([1.001]), shift, probabilities=True)
