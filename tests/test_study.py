from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from torchaug.data import Bank, TensorImages
from torchaug.evaluate.results import StudyResult
from torchaug.training import study
from torchaug.training.arms import batches, share_of, train_arm
from torchaug.training.fit import fit
from torchaug.training.load import load_generator
from torchaug.training.sheets import nearest
from torchaug.training.study import ARMS, Arm, ImbalancedDraw, Recipe, affordable, run_study
from torchaug.training.synthesize import synthesize

RECIPE = Recipe(steps=12, batch_size=16, generator_steps=6, shown=2)
RARE = (2,)


def stripes(count: int = 90) -> TensorImages:
    """A bright row near the top, in the middle or near the bottom, with noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    images = torch.randint(0, 128, (count, 1, 8, 8), generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 1 + 2 * label] += 127
    return TensorImages(images.to(torch.uint8), labels, ["top", "middle", "bottom"])


DRAW = ImbalancedDraw(stripes(), RARE, n_rare=2, n_common=12)
ARM = {arm.name: arm for arm in ARMS}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    folder = tmp_path_factory.mktemp("study")
    path = fit("vae", DRAW(0)[0], out=folder, steps=4, batch_size=16, every=0)
    return synthesize(load_generator(path), {0: 2, 1: 2, 2: 12}, folder / "bank")


@pytest.fixture(scope="module")
def result() -> StudyResult:
    return run_study(DRAW, rare=RARE, seeds=(0, 1), recipe=RECIPE, data="stripes", workers=1)


def stream(name: str, bank: Bank | None = None, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    return list(batches(ARM[name], *DRAW(seed), bank, RECIPE, seed))


def test_all_arms_are_scored_in_all_metrics_with_one_value_a_seed(result: StudyResult) -> None:
    assert [arm.name for arm in result.arms] == [arm.name for arm in ARMS]
    for arm in result.arms:
        for metric in ("accuracy", "macro_f1", "rare_recall"):
            assert len(arm.values[metric]) == 2
            assert 0 <= arm.interval(metric).mean <= 1
    assert (result.train_counts, result.test_counts) == ((12, 12, 2), (15, 15, 15))
    assert (result.steps, result.seeds, result.data) == (12, (0, 1), "stripes")
    assert (
        json.loads(json.dumps(result.to_json()))["arms"]["real"]["accuracy"]["mean"]
        == result.arms[0].interval("accuracy").mean
    )
    pairs = {(d.arm, d.baseline) for d in result.differences}
    assert ("real + augmentation + synthetic", "real + augmentation") in pairs
    assert ("real + augmentation + synthetic", "real + oversampling + augmentation") in pairs
    assert {arm for arm, base in pairs if base == "real"} == set(ARM) - {"real"}


def test_sheets_show_real_augmented_and_synthetic_images_with_their_nearest(result: StudyResult) -> None:
    train, _ = DRAW(0)
    real, augmented, synthetic = (result.sheets[name] for name in ("real", "augmented", "synthetic"))
    assert real.labels == augmented.labels == synthetic.labels == (0, 0, 1, 1, 2, 2)
    assert real.images.shape == augmented.images.shape == (6, 1, 8, 8)
    assert not torch.equal(real.images, augmented.images)
    assert synthetic.nearest is not None
    for image, near, distance in zip(synthetic.images, synthetic.nearest, synthetic.distances, strict=True):
        offs = ((train.images.double() - image.double()) / 255).square().sum((1, 2, 3)).sqrt()
        assert distance == pytest.approx(offs.min().item())
        assert torch.equal(near, train.images[offs.argmin()])


def test_an_image_of_the_training_set_has_distance_zero_from_it() -> None:
    images = stripes().images
    place, distance = nearest(images[5:7], images)
    assert place.tolist() == [5, 6]
    assert distance.tolist() == [0, 0]


def test_a_study_is_a_function_of_its_seeds(result: StudyResult) -> None:
    again = run_study(DRAW, rare=RARE, seeds=(1,), recipe=RECIPE, workers=1, arms=ARMS[:1] + ARMS[4:])
    for arm in again.arms:
        assert arm.values["accuracy"] == result.arm(arm.name).values["accuracy"][1:]


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(result: StudyResult, tmp_path: Path) -> None:
    done: list[tuple[int, int, str]] = []
    apart = run_study(
        DRAW, rare=RARE, seeds=(0, 1), recipe=RECIPE, workers=2, out=tmp_path, progress=lambda *part: done.append(part)
    )
    assert [arm.values for arm in apart.arms] == [arm.values for arm in result.arms]
    assert [part[:2] for part in done] == [(i, 16) for i in range(1, 17)]
    assert (tmp_path / "seed-1" / "bank" / "manifest.json").exists()


def test_arms_share_the_stream_of_real_images_and_the_number_of_steps(bank: Bank) -> None:
    plain, weighted, augmented = (stream(f"real{more}") for more in ("", " + class weights", " + augmentation"))
    mixed = stream("real + synthetic", bank)
    assert len(plain) == len(augmented) == len(mixed) == RECIPE.steps
    assert all(torch.equal(a[0], b[0]) for a, b in zip(plain, weighted, strict=True))
    assert all(torch.equal(a[1], b[1]) for a, b in zip(plain, augmented, strict=True))
    assert not torch.equal(plain[0][0], augmented[0][0])
    assert not torch.equal(plain[0][1], stream("real", seed=1)[0][1])


def test_oversampling_balances_the_classes(bank: Bank) -> None:
    for name in ("real + oversampling", "real + oversampling + augmentation"):
        labels = torch.cat([labels for _, labels in stream(name)])
        assert (labels.bincount() - len(labels) / 3).abs().max() <= 1


def test_synthetic_images_fill_the_rare_class_up_to_balance(bank: Bank) -> None:
    train, _ = DRAW(0)
    assert share_of(train, RECIPE) == pytest.approx(10 / 36)
    labels = torch.cat([labels for _, labels in stream("real + synthetic", bank)])
    assert (labels.bincount() - len(labels) / 3).abs().max() <= 3
    real = {image.numpy().tobytes() for image in train.images}
    shown = (torch.cat([images for images, _ in stream("real + synthetic", bank)]) * 255).round().to(torch.uint8)
    synthetic = sum(image.numpy().tobytes() not in real for image in shown)
    assert synthetic == pytest.approx(len(shown) * 10 / 36, abs=1)


def test_the_share_stays_at_a_half_or_below_and_can_be_set() -> None:
    train, _ = ImbalancedDraw(stripes(300), (1, 2), n_rare=1, n_common=40)(0)
    assert share_of(train, RECIPE) == 0.5
    assert share_of(train, replace(RECIPE, share=0.1)) == 0.1
    assert share_of(stripes(), RECIPE) == 0.25


def test_a_sample_drawn_twice_is_augmented_in_two_ways() -> None:
    train, _ = DRAW(0)
    shown: dict[bytes, int] = {}
    for images, _ in stream("real + augmentation"):
        for image in images:
            shown[image.numpy().tobytes()] = shown.get(image.numpy().tobytes(), 0) + 1
    assert len(shown) == RECIPE.steps * RECIPE.batch_size > 3 * len(train)


def test_a_bank_whose_generator_saw_the_test_set_is_refused(tmp_path: Path) -> None:
    train, test = DRAW(0)
    leaky = fit("vae", test, out=tmp_path, steps=2, batch_size=16, every=0)
    bank = synthesize(load_generator(leaky), {2: 4}, tmp_path / "bank")
    with pytest.raises(ValueError, match="was trained on 45 of the 45 held-out items"):
        train_arm(ARM["real + synthetic"], train, test, bank, RARE, RECIPE, 0)


def test_time_that_is_up_leaves_seeds_out_and_says_so() -> None:
    arms = (Arm("real", ""), Arm("real + augmentation", "", augmented=True))
    short = run_study(DRAW, rare=RARE, seeds=range(4), recipe=RECIPE, seconds=1e-3, arms=arms, workers=1)
    assert short.seeds == (0,)
    assert short.steps < RECIPE.steps
    assert any("1 of 4 seeds" in note for note in short.notes)


@dataclass(frozen=True)
class SlowDraw:
    """The usual split, after a while for all seeds but the first."""

    seconds: float

    def __call__(self, seed: int) -> tuple[TensorImages, TensorImages]:
        time.sleep(self.seconds if seed else 0)
        return DRAW(seed)


def test_any_seed_that_is_done_can_be_shown(tmp_path: Path) -> None:
    """The first of them may be one that did not fit the time."""
    arms = (ARM["real"], ARM["real + synthetic"])
    job = study._Job(DRAW, RARE, RECIPE, arms, tmp_path)
    assert job(3, lambda text: None).sheets.keys() == {"real", "augmented", "synthetic"}


@pytest.mark.slow
def test_a_seed_that_is_not_done_in_time_is_left_out() -> None:
    arms, start = (Arm("real", ""), Arm("real + augmentation", "", augmented=True)), time.monotonic()
    short = run_study(SlowDraw(120), rare=RARE, seeds=(0, 1), recipe=RECIPE, seconds=12, arms=arms, workers=2)
    assert short.seeds == (0,)
    assert "1 of 2 seeds fitted the time." in short.notes
    assert time.monotonic() - start < 120, "it was not waited for"


def test_a_plan_is_timed_with_one_thread_and_leaves_their_number_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[int] = set()
    before = torch.get_num_threads()
    monkeypatch.setattr("torchaug.training.study.train_arm", lambda *_, **__: used.add(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        affordable(RECIPE, ARMS[:2], DRAW(0), RARE, seconds=1000.0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert used == {1}


def test_time_enough_changes_nothing() -> None:
    assert affordable(RECIPE, ARMS, DRAW(0), RARE, seconds=1000.0) == RECIPE
    cut = affordable(replace(RECIPE, steps=10**6), ARMS, DRAW(0), RARE, seconds=10.0)
    assert 1 < cut.steps < 10**5


def test_what_cannot_be_studied_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rare classes must be among 0 to 2, got \[7\]"):
        run_study(DRAW, rare=(7,))
    with pytest.raises(ValueError, match="rare classes must be among 0 to 2, got none"):
        run_study(DRAW, rare=())
    with pytest.raises(ValueError, match="expected seeds, arms and at least 1 worker, got 0 seeds"):
        run_study(DRAW, rare=RARE, seeds=())
