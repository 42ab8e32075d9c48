from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from PIL import Image
from test_training import same, shapes, trainer
from torch import Tensor
from torch.utils.data import DataLoader

from torchaug.compose import Compose
from torchaug.data import TensorImages
from torchaug.image import ADA, RandomHorizontalFlip, RandomPosterize
from torchaug.keys import sample_keys
from torchaug.models.networks import seeded_weights
from torchaug.training import gamma
from torchaug.training.callbacks import SampleGrid
from torchaug.training.data import SynthesisDataModule
from torchaug.training.fit import fit
from torchaug.training.gan import LitGAN
from torchaug.training.gan_holdout import HeldOut
from torchaug.training.load import load_generator
from torchaug.training.quiet import quiet

COLOR = ADA("color", p=1.0)


def module(steps: int = 8, augment: Any = None, classes: list[str] | None = None, **options: Any) -> LitGAN:
    with seeded_weights(0):
        return LitGAN((1, 8, 8), classes or shapes().classes, steps, augment=augment, latent=4, **options)


def state(lit: LitGAN) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in lit.state_dict().items() if isinstance(value, Tensor)}


class Log(L.Callback):
    """What each step logged."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        self.steps.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        trainer.callback_metrics.clear()
        trainer.fit_loop._results.clear()


def train(lit: LitGAN, folder: Path, steps: int, after: Path | None = None, **options: Any) -> L.Trainer:
    with quiet():
        done = trainer(folder, steps, **options)
        data = SynthesisDataModule(shapes(), batch_size=8, holdout=0.2)
        done.fit(lit, data, ckpt_path=after, weights_only=True)
    return done


VARIANTS: dict[str, dict[str, Any]] = {
    "hinge, lazy": {"loss": "hinge", "lazy": 3},
    "wasserstein, in parts": {"loss": "wasserstein", "accumulate": 3},
    "least squares, by signs": {"loss": "least-squares", "adaptive": True, "augment": COLOR, "adaptive_kimg": 0.1},
    "relativistic, by images held out": {"adaptive": True, "augment": COLOR, "adaptive_kimg": 0.1},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_resumed_training_equals_training_without_a_break(name: str, tmp_path: Path) -> None:
    options = VARIANTS[name]
    whole, first, second = (module(10, **options) for _ in range(3))
    train(whole, tmp_path, 10)
    train(first, tmp_path, 5).save_checkpoint(tmp_path / "half.ckpt")
    train(second, tmp_path, 10, after=tmp_path / "half.ckpt")
    assert same(state(whole), state(second))
    assert not same(state(first), state(second))
    if options.get("adaptive"):
        assert whole.control is not None
        assert whole.control.batches == 2  # of ten steps
        assert 0 <= whole.seen_through.p <= 0.8
    restored = load_generator(tmp_path / "half.ckpt")
    assert isinstance(restored, LitGAN)
    assert same(state(first), state(restored))


def test_a_batch_in_parts_is_the_same_step(tmp_path: Path) -> None:
    one, parts = module(1, augment=COLOR), module(1, augment=COLOR, accumulate=3)
    for lit in (one, parts):
        lit.hparams["learning_rate"] = 1e-3
        assert train(lit, tmp_path, 1).global_step == 1
    for (name, a), b in zip(state(one).items(), state(parts).values(), strict=True):
        # Adam's first step is the sign of the gradient: rounding can turn it where it is next to 0
        assert (a - b).abs().double().quantile(0.95) < 1e-5, name


def test_penalties_are_computed_in_every_kth_step(tmp_path: Path) -> None:
    log = Log()
    train(module(lazy=3), tmp_path, 7, callbacks=[log])
    assert ["r1" in step for step in log.steps] == [True, False, False, True, False, False, True]
    assert all("advantage" in step and "generator_loss" in step for step in log.steps)


def test_lazy_penalties_weigh_as_much_in_all(tmp_path: Path) -> None:
    lit = module(lazy=4, gamma=0.5)
    train(lit, tmp_path, 1)
    lit.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.reset()  # at step 0 again
    # of one pair: the mean of softplus is not the softplus of a mean
    loss, parts = lit._judge(torch.rand(1, 1, 8, 8), torch.tensor([1]), sample_keys(torch.arange(1)))
    bare = torch.nn.functional.softplus(-parts["advantage"])
    assert loss.item() - bare.item() == pytest.approx(4 * 0.25 * (parts["r1"] + parts["r2"]).item(), rel=1e-3)


def test_the_chance_of_the_augmentation_rises_from_nothing(tmp_path: Path) -> None:
    seen: list[float] = []

    class Watch(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
            assert isinstance(pl_module, LitGAN)
            seen.append(float(pl_module.seen_through.p))

    train(module(8, augment=COLOR, augment_p=0.4), tmp_path, 8, callbacks=[Watch()])
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[4] == pytest.approx(0.2)  # half way along the cosine


def test_an_augmentation_without_derivatives_is_refused_before_training() -> None:
    chain = Compose([RandomHorizontalFlip(), RandomPosterize(4)])
    with pytest.raises(ValueError, match=r"got RandomPosterize \(0\)"):
        module(augment=chain)
    once = RandomHorizontalFlip()
    once.differentiable = 1
    with pytest.raises(ValueError, match="differentiated 2 times"):
        module(augment=once)
    module(augment=once, gamma=0.0)  # no penalties, no second derivatives


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lazy": 0}, "lazy must be a whole number of at least 1"),
        ({"accumulate": 0}, "accumulate must be a whole number of at least 1"),
        ({"loss": "kl"}, "loss: expected one of relativistic"),
        ({"preset": "huge"}, "preset: expected one of tiny"),
        ({"gamma": -1.0}, "gamma must be a number of at least 0"),
        ({"augment_p": 2.0}, r"augment_p must be a number in \[0, 1\]"),
        ({"steps": 2.5}, "steps must be a whole number of at least 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        module(**options)


@pytest.mark.parametrize(
    ("side", "gpu", "preset"),
    [(8, False, "tiny"), (28, False, "narrow"), (28, True, "small"), (64, True, "base"), (128, True, "large")],
)
def test_the_preset_suits_the_images_and_the_machine(
    side: int, gpu: bool, preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    images = torch.zeros(2, 1, side, 3, dtype=torch.uint8)
    found = LitGAN.default_settings(TensorImages(images, torch.tensor([0, 1]), ["a", "b"]))
    assert found["preset"] == preset


# Images held out


def test_images_held_out_are_drawn_of_the_labels_asked_for() -> None:
    data = SynthesisDataModule(shapes(60), holdout=0.3)
    held_out = HeldOut(data, "class", torch.device("cpu"))
    labels = torch.tensor([0, 1] * 200)
    drawn = held_out.images_for(labels, sample_keys(torch.arange(400)))
    for label in (0, 1):
        own = data.holdout.images[data.holdout.labels == label].float() / 255
        found = (drawn[labels == label][:, None] == own[None]).flatten(2).all(2)
        assert found.any(1).all()  # only these
        assert found.any(0).all()  # and all of them


def test_adaptive_augmentation_asks_for_images_held_out(tmp_path: Path) -> None:
    def run(**options: Any) -> None:
        lit = module(augment=COLOR, adaptive=True)
        with quiet():
            trainer(tmp_path, 1).fit(lit, SynthesisDataModule(shapes(), batch_size=8, **options))

    with pytest.raises(ValueError, match="needs images held back, got none"):
        run()
    with pytest.raises(ValueError, match="got none of down; hold back more"):
        run(holdout=0.08)
    with pytest.raises(ValueError, match="compares scores within classes, got the condition continuous"):
        HeldOut(None, "continuous", torch.device("cpu"))


@pytest.mark.parametrize("loss", ["relativistic", "hinge"])
def test_adaptive_augmentation_without_an_augment_is_refused(loss: Any, tmp_path: Path) -> None:
    text = "adaptive=True says how often images are augmented, expected an augment, got None"
    with pytest.raises(ValueError, match=text), quiet():
        trainer(tmp_path, 1).fit(module(adaptive=True, loss=loss), SynthesisDataModule(shapes(), holdout=0.3))


# Other conditions


def batches(labels: Tensor) -> DataLoader[Any]:
    images = shapes(len(labels)).images
    rows = [{"image": image, "label": label} for image, label in zip(images, labels, strict=True)]
    return DataLoader(rows, batch_size=8)  # type: ignore[arg-type]


@pytest.mark.parametrize("condition", ["multi-label", "continuous"])
def test_other_conditions_are_trained_saved_and_asked_for(condition: Any, tmp_path: Path) -> None:
    labels = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0]]).repeat(8, 1)
    lit = module(classes=["red", "old", "large"], condition=condition)
    with quiet():
        done = trainer(tmp_path, 4)
        done.fit(lit, batches(labels))
        done.save_checkpoint(tmp_path / "gan.ckpt")
    generator = load_generator(tmp_path / "gan.ckpt")
    assert generator.classes == []
    first = generator.sample(3, given={"red": 1.0, "large": 1.0})
    assert torch.equal(first, generator.sample(3, given=[1.0, 0.0, 1.0]))
    assert not torch.equal(first, generator.sample(3, given=[0.0, 0.0, 0.0]))
    assert generator.interpolate(0, 1, 3, given=[1.0, 0.0, 1.0]).shape == (3, 1, 8, 8)
    for wrong in (None, [1.0], {"blue": 1.0}):
        with pytest.raises(TypeError, match="given must be numbers for red, old, large"):
            generator.sample(1, given=wrong)
    bank = generator.synthesize(5, tmp_path / "bank", settings={"given": [1.0, 0.0, 1.0]})
    assert bank is not None
    assert torch.equal(bank[2]["image"].float() / 255, first[2])


@pytest.mark.parametrize("condition", ["multi-label", "continuous"])
def test_a_grid_of_other_conditions_has_a_row_for_each(condition: Any, tmp_path: Path) -> None:
    names = ["red", "old", "large"]
    asked = [{"red": 1.0, "large": 1.0}, [0.0, 0.5, 0.0]]
    for given, rows in ((None, [{name: 1.0} for name in names]), (asked, asked)):
        lit, folder = module(classes=names, condition=condition), tmp_path / str(given is None)
        with quiet():
            trainer(folder, 2, callbacks=[SampleGrid(2, per_class=4, given=given)]).fit(
                lit, batches(torch.eye(3).repeat(6, 1))
            )
        with Image.open(folder / "samples-0000002.png") as picture:
            found = np.array(picture)[:, :, 0]
        assert found.shape == (9 * len(rows) + 1, 9 * 4 + 1)
        for row, each in enumerate(rows):
            made = lit.make(torch.zeros(4, dtype=torch.int64), sample_keys(torch.arange(4)), given=each)["image"]
            for column in range(4):
                tile = found[9 * row + 1 : 9 * row + 9, 9 * column + 1 : 9 * column + 9].astype(int)
                assert abs(tile - made[column, 0].numpy()).max() <= 1
    with quiet(), pytest.raises(TypeError, match="given must be numbers for red, old, large"):
        trainer(tmp_path, 2, callbacks=[SampleGrid(2, given=[{"blue": 1.0}])]).fit(
            lit, batches(torch.eye(3).repeat(6, 1))
        )
    with pytest.raises(ValueError, match="given hold a condition or be None"):
        SampleGrid(2, given=[])


def test_fit_says_how_to_train_on_other_conditions(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"fit trains on classes, got condition 'multi-label'; .* DataLoader of your own"
    ):
        fit("gan", shapes(), out=tmp_path, steps=1, settings={"condition": "multi-label"})


def test_one_class_is_enough(tmp_path: Path) -> None:
    lit = module(classes=["all"])
    with quiet():
        trainer(tmp_path, 2).fit(lit, batches(torch.zeros(16, dtype=torch.int64)))
    assert lit.sample(2).shape == (2, 1, 8, 8)


# Samples of a checkpoint


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> LitGAN:
    path = fit("gan", shapes(), out=tmp_path_factory.mktemp("gan"), steps=4, batch_size=8, every=0)
    loaded = load_generator(path)
    assert isinstance(loaded, LitGAN)
    return loaded


def test_settings_of_samples_arrive(generator: LitGAN) -> None:
    plain = generator.sample(6, "down")
    narrow = generator.sample(6, "down", truncation=0.0)
    assert (narrow == narrow[:1]).all()
    assert not (plain == plain[:1]).all()
    best = generator.sample(6, "down", tries=8)
    labels = torch.ones(6, dtype=torch.int64)
    # up to the rounding of pixels
    assert (generator.score(best, labels) >= generator.score(plain, labels) - 0.02).all()
    assert torch.equal(generator.score((plain * 255).round().to(torch.uint8), labels), generator.score(plain, labels))
    with pytest.raises(ValueError, match=r"LitGAN.score: expected labels of 6 samples, got \(5,\)"):
        generator.score(plain, labels[:5])
    with pytest.raises(ValueError, match=r"LitGAN.score: expected labels of 6 samples, got none"):
        generator.score(plain)
    with pytest.raises(ValueError, match=r"LitGAN.score: expected images \(B, 1, 8, 8\), got \(6, 1, 8, 7\)"):
        generator.score(plain[..., :7], labels)
    with pytest.raises(ValueError, match=r"LitGAN.score: labels must be in \[0, 2\)"):
        generator.score(plain, 99 * labels)
    with pytest.raises(TypeError, match="expected truncation, tries, got given"):
        generator.sample(1, "down", given=[1.0])
    with pytest.raises(TypeError, match="expected no settings, got tries"):
        generator.interpolate(0, 1, labels="down", tries=2)


def test_an_interpolation_goes_from_one_sample_to_another(generator: LitGAN) -> None:
    samples = generator.sample(5, "down", seed=3)
    row = generator.interpolate(1, 4, 6, labels="down", seed=3)
    assert row.shape == (6, 1, 8, 8)
    assert (row[0] - samples[1]).abs().max() <= 1 / 255
    assert (row[-1] - samples[4]).abs().max() <= 1 / 255


def test_bfloat16_trains(tmp_path: Path) -> None:
    lit = module(3, augment=COLOR)
    train(lit, tmp_path, 3, precision="bf16-mixed")
    assert all(weight.isfinite().all() and weight.dtype == torch.float32 for weight in lit.parameters())


# Gamma


def test_the_gamma_is_taken_whose_samples_look_most_real(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []

    def distance(real: Any, generator: LitGAN, seed: int) -> float:
        told.append(generator.gamma)
        return abs(generator.gamma - 1.4)

    monkeypatch.setattr(gamma, "distance", distance)
    found = gamma.find_gamma(shapes(), steps=1, batch_size=4, settings={"latent": 4})
    assert told == pytest.approx([0.15, 0.5, 1.5])
    assert found.gamma == pytest.approx(1.5)
    assert list(found.scores) == told


def test_a_search_for_gamma_says_how_far_it_is_and_what_it_tries() -> None:
    told: list[tuple[int, int, float]] = []
    gamma.find_gamma(
        shapes(),
        steps=12,
        factors=(1.0, 2.0),
        batch_size=4,
        settings={"latent": 4},
        progress=lambda done, total, metrics: told.append((done, total, metrics["gamma"])),
    )
    assert told == [(10, 24, 0.5), (12, 24, 0.5), (22, 24, 1.0), (24, 24, 1.0)]


def test_what_nearest_neighbours_tell_apart_is_far_from_real() -> None:
    real = shapes(120)
    images = real.images.float() / 255

    class Fixed:
        device_of_samples, samples_at_once = torch.device("cpu"), 256

        def __init__(self, images: Tensor) -> None:
            self.images = images

        def generate(self, labels: Tensor, keys: Tensor) -> Tensor:
            return self.images

    other = shapes(120, seed=1).images.float() / 255
    swapped = other[torch.arange(120).roll(1)]  # good images with the labels of others
    scores = [gamma.distance(real, Fixed(x)) for x in (other, swapped, images.mean() + 0 * images)]  # type: ignore[arg-type]
    assert scores[0] < 0.1 < scores[1] < scores[2]
    assert gamma.distance(real, Fixed(images / 0)) == 0.5  # type: ignore[arg-type]


def test_fit_finds_gamma_once_and_keeps_it_when_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def find_gamma(*_: Any, **options: Any) -> gamma.GammaSearch:
        calls.append(options["batch_size"])
        return gamma.GammaSearch(0.25, {})

    monkeypatch.setattr("torchaug.training.fit.find_gamma", find_gamma)
    auto = {"gamma": "auto", "latent": 4}
    for steps in (2, 3):
        path = fit("gan", shapes(), out=tmp_path, steps=steps, batch_size=8, settings=auto, every=0, resume=True)
    loaded = load_generator(path)
    assert isinstance(loaded, LitGAN)
    assert (loaded.gamma, calls) == (0.25, [8])
    with pytest.raises(ValueError, match="expected a number for gamma where several processes train, got auto"):
        fit("gan", shapes(), out=tmp_path / "two", steps=2, settings=auto, trainer={"devices": 2})
    with pytest.raises(TypeError, match=r"gamma must be a number or None, got 'auto'; find_gamma"):
        module(gamma="auto")
    with pytest.raises(ValueError, match="expected a class of at least 5 images, got 4 in all"):
        gamma.find_gamma(shapes(4))


def test_the_discriminator_sees_images_with_noise_as_wide_as_a_grey_level(tmp_path: Path) -> None:
    lit = module(2)
    levels, seen = lit.hparams["levels"], list[Tensor]()
    lit.gan.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    real = torch.full((6, 1, 8, 8), 0.5)
    lit._judge(real, torch.zeros(6, dtype=torch.int64), sample_keys(torch.arange(6)))
    noise = next(images for images in seen if (images - 0.5).abs().max() < 1 / levels) - 0.5
    assert noise.abs().max() <= 0.5 / (levels - 1) + 1e-6
    assert noise.std() == pytest.approx(1 / (levels - 1) / 12**0.5, rel=0.1)  # of a uniform number
    assert len(noise[:, 0, 0, 0].unique()) == 6
