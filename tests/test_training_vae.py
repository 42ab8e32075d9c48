"""LitVAE beyond what test_training.py checks of every kind: its objectives, and what its samples can do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from torchaug.compose import Compose
from torchaug.data import vowels
from torchaug.data.images import TensorImages
from torchaug.image import RandomAffine
from torchaug.models.networks import seeded_weights
from torchaug.models.vae import ImageVAE
from torchaug.training.audio import LitAudioVAE
from torchaug.training.data import SynthesisDataModule
from torchaug.training.fit import fit
from torchaug.training.gamma import distance
from torchaug.training.gan import LitGAN
from torchaug.training.load import load_generator
from torchaug.training.quiet import quiet
from torchaug.training.synthesizer import Synthesizer
from torchaug.training.vae import LitVAE, some_of_each

OBJECTIVES = ["elbo", "iwae", "wae_mmd", "vq"]
SMALL: dict[str, Any] = {"latent": 4, "levels": 256, "likelihood": "binomial", "codes": 6, "code_size": 3, "draws": 3}


def shapes(count: int = 24) -> TensorImages:
    """Stripes across and down, at random places."""
    images = torch.zeros(count, 1, 8, 8, dtype=torch.uint8)
    labels = torch.arange(count) % 2
    for i in range(count):
        line = i * 3 % 7
        view = images[i, 0] if labels[i] else images[i, 0].T
        view[:, line : line + 2] = 255
    return TensorImages(images, labels, ["across", "down"])


def module(objective: Any, steps: int, classes: Sequence[str] = ("across", "down"), **settings: Any) -> LitVAE:
    augment = Compose([RandomAffine(10, interpolation="bilinear")])
    with seeded_weights(0):
        return LitVAE((1, 8, 8), classes, steps, augment=augment, objective=objective, **{**SMALL, **settings})


def train(lit: LitVAE, folder: Path, steps: int, after: Path | None = None, precision: Any = "32-true") -> L.Trainer:
    with quiet():
        done = L.Trainer(
            max_steps=steps, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder, precision=precision,
        )  # fmt: skip
        done.fit(lit, SynthesisDataModule(shapes(), batch_size=8), ckpt_path=after, weights_only=True)
    return done


def state(lit: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in lit.state_dict().items()}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_k_steps_and_k_more_end_in_the_bits_of_2k_steps(objective: str, tmp_path: Path) -> None:
    whole = module(objective, 6)
    train(whole, tmp_path, 6).save_checkpoint(tmp_path / "whole.ckpt")
    train(module(objective, 6), tmp_path, 3).save_checkpoint(tmp_path / "half.ckpt")
    torch.rand(17)  # the global generator's state does not matter
    with seeded_weights(1):  # nor do first weights
        resumed = module(objective, 6)
    train(resumed, tmp_path, 6, after=tmp_path / "half.ckpt").save_checkpoint(tmp_path / "resumed.ckpt")
    a, b = (torch.load(tmp_path / f"{name}.ckpt", weights_only=True)["state_dict"] for name in ("whole", "resumed"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    half = torch.load(tmp_path / "half.ckpt", weights_only=True)["state_dict"]
    assert sum(not torch.equal(a[name], half[name]) for name in a) > 20
    assert any("quantizer.codebook" in name for name in a) == (objective == "vq")


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("likelihood", ["gaussian", "logistic"])
def test_losses_and_codes_are_computed_in_float32_under_bfloat16(
    objective: str, likelihood: str, tmp_path: Path
) -> None:
    plain, mixed = (module(objective, 3, likelihood=likelihood) for _ in range(2))
    first, second = train(plain, tmp_path, 1), train(mixed, tmp_path, 1, precision="bf16-mixed")
    assert second.callback_metrics["loss"].dtype == torch.float32
    torch.testing.assert_close(second.callback_metrics["loss"], first.callback_metrics["loss"], rtol=0.02, atol=0.5)
    assert all(value.isfinite().all() for value in mixed.state_dict().values())
    assert all(value.dtype in (torch.float32, torch.int64, torch.bool) for value in mixed.state_dict().values())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective_learns_and_its_checkpoint_has_all_that_samples_need(objective: str, tmp_path: Path) -> None:
    settings = {**SMALL, "objective": objective}
    path = fit("vae", shapes(), out=tmp_path, steps=60, batch_size=16, settings=settings, every=0)
    generator = load_generator(path)
    real, zeros = shapes().images, torch.zeros(12, dtype=torch.int64)
    other = torch.randint(0, 2, real[::2].shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8) * 255
    assert (generator.score(real[::2], zeros).mean() > generator.score(other, zeros).mean()).item()
    made = generator.sample(4, "down")
    assert made.shape == (4, 1, 8, 8)
    assert torch.equal(generator.sample(2, "down"), made[:2])
    assert torch.equal(load_generator(path).sample(4, "down"), made)


def test_an_interpolation_of_samples_is_of_the_samples_asked_for(tmp_path: Path) -> None:
    path = fit("vae", shapes(), out=tmp_path, steps=4, batch_size=8, settings={**SMALL, "components": 2}, every=0)
    generator = load_generator(path)
    samples, way = generator.sample(8, "down", seed=3), generator.interpolate(2, 7, 5, labels="down", seed=3)
    assert way.shape == (5, 1, 8, 8)
    torch.testing.assert_close(way[[0, -1]], samples[[2, 7]], atol=1.1 / 255, rtol=0)
    assert torch.equal(generator.sample(3, "down", truncation=0.0)[0], generator.sample(3, "down", truncation=0.0)[2])
    with pytest.raises(TypeError, match="expected prior, truncation, got temperature"):
        generator.sample(1, "down", temperature=0.5)


def test_codes_have_a_temperature_and_nothing_between_them(tmp_path: Path) -> None:
    generator = load_generator(
        fit("vae", shapes(), out=tmp_path, steps=4, batch_size=8, settings={**SMALL, "objective": "vq"}, every=0)
    )
    assert generator.sample(3, "down", temperature=0.5).shape == (3, 1, 8, 8)
    with pytest.raises(TypeError, match="codes have nothing between them"):
        generator.interpolate(0, 1)
    with pytest.raises(TypeError, match="expected temperature, got prior"):
        generator.sample(1, "down", prior="normal")


def test_pooling_and_components_reach_the_posterior(tmp_path: Path) -> None:
    found = []
    every: list[dict[str, Any]] = [{"pooling": 0.0}, {"pooling": 1e6}, {"pooling": 1e6, "components": 3}]
    for settings in every:
        lit = module("elbo", 2, **settings)
        train(lit, tmp_path, 2).save_checkpoint(tmp_path / "a.ckpt")
        assert isinstance(lit.averaged, ImageVAE)
        factors = lit.averaged.aggregated.factors
        found.append((factors[0] - factors[1]).abs().max().item())
        assert lit.averaged.aggregated.means.shape[1] == settings.get("components", 1)
    assert found[0] > 1e-3 > found[1]


def test_one_class_is_enough(tmp_path: Path) -> None:
    data = shapes()
    single = TensorImages(data.images[::2], torch.zeros(12, dtype=torch.int64), ["across"])
    for objective in ("elbo", "vq"):
        path = fit(
            "vae", single, out=tmp_path / objective, steps=2, batch_size=8, settings={**SMALL, "objective": objective},
            every=0,
        )  # fmt: skip
        assert load_generator(path).sample(2).shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"objective": "flow"}, "objective must be one of elbo, iwae, wae_mmd, vq, got 'flow'"),
        ({"draws": 0}, "draws must be a whole number of at least 1, got 0"),
        ({"beta": -1.0}, "beta must be a number of at least 0"),
        ({"components": 0}, "components must be a whole number of at least 1, got 0"),
        ({"objective": "vq", "codes": 1}, "codes must be a whole number of at least 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        LitVAE((1, 8, 8), ["a", "b"], 1, **settings)


def grey(labels: Tensor, classes: int = 3) -> TensorImages:
    """Images of noise, brighter from class to class."""
    noise = torch.randint(0, 60, (len(labels), 1, 8, 8), generator=torch.Generator().manual_seed(0))
    images = (noise + 60 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
    return TensorImages(images, labels, [str(number) for number in range(classes)])


def test_the_posterior_of_many_images_is_fitted_to_all_of_the_rare_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.zeros(200, dtype=torch.int64)
    labels[[1, 2]], labels[[101, 103]] = 1, 2  # of every 10th image none is of these
    lit, data = module("elbo", 4, ["0", "1", "2"], components=2, pooling=20.0, likelihood="gaussian"), grey(labels)
    found = []
    for most in (20, 8192):
        monkeypatch.setattr("torchaug.training.vae.FITTED", most)
        lit.prepare_from(data)
        assert isinstance(lit.averaged, ImageVAE)
        posterior, variance = lit.averaged.aggregated, lit.averaged.pixels.variance
        assert posterior.fitted.all()
        found.append((posterior.means.clone(), posterior.factors @ posterior.factors.mT, variance.clone()))
    (means, spread, variance), (all_means, all_spread, all_variance) = found
    torch.testing.assert_close(means[1:], all_means[1:])
    torch.testing.assert_close(spread, all_spread, rtol=0.2, atol=0.1)  # as if all were seen
    torch.testing.assert_close(variance, all_variance, rtol=0.02, atol=0)


def test_some_of_each_class_are_there_however_many_classes_there_are() -> None:
    labels = torch.arange(1000) % 100
    assert some_of_each(labels, 50, 3).tolist() == [*range(100), *range(300, 400), *range(600, 700)]
    assert some_of_each(labels, 5000).tolist() == list(range(1000))
    assert some_of_each(torch.tensor([7, 7, 7]), 2).tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["elbo", "vq", "gan", "audio"])
def test_many_samples_are_made_judged_and_fitted_to_a_few_at_a_time(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lit, data = small_generator(kind)
    network = lit.ema.model if kind == "gan" else lit.averaged.decoder
    seen: list[int] = []
    monkeypatch.setattr(network, "forward", noting(network.forward, seen))
    magnitudes = getattr(lit, "codec", lit).magnitudes if kind == "audio" else None
    if magnitudes is not None:
        monkeypatch.setattr(lit.codec, "magnitudes", noting(magnitudes, seen))
    found = []
    for numbers in (2**20, 6 * math.prod(lit.shape)):
        monkeypatch.setattr("torchaug.models.networks.NUMBERS", numbers)
        seen.clear()
        if isinstance(lit, LitVAE):
            lit.prepare_from(data)
        made = lit.sample(20, seed=2)
        made = lit.codec.encode(made) if kind == "audio" else made
        images = data.waveforms if kind == "audio" else data.images
        found.append((made, lit.score(images, data.labels), max(seen), distance(data, lit) if kind == "gan" else 0.0))
    (made, scores, _, far), (parts, scores_of_parts, most, far_of_parts) = found
    assert most <= 8  # draws of an image to judge
    assert (parts - made).abs().mean() < 1e-3  # not all of them: phases of sounds make more of the last bits
    torch.testing.assert_close(scores_of_parts, scores, rtol=1e-4, atol=1e-3)
    assert far == pytest.approx(far_of_parts, abs=0.02)


def small_generator(kind: str) -> tuple[Any, Any]:
    """An untrained one, and what it could be trained on."""
    if kind == "audio":
        sounds = vowels(8, seconds=0.1)
        return LitAudioVAE.for_data(sounds, 4, settings={"latent": 4}), sounds
    if kind == "gan":
        return LitGAN((1, 8, 8), ["across", "down"], 4, latent=4), shapes()
    return module(kind, 4), shapes()


def noting(function: Any, seen: list[int]) -> Any:
    """A function of rows that notes how many there are."""

    def noted(rows: Tensor, *rest: Any) -> Any:
        seen.append(len(rows))
        return function(rows, *rest)

    return noted


def test_a_generator_whose_samples_depend_on_each_other_makes_all_at_once() -> None:
    class Numbered(Synthesizer):
        rowwise = False

        def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> dict[str, Tensor]:
            return {"image": torch.arange(len(keys)).view(-1, 1, 1, 1)}

    assert Numbered().sample(1000).flatten().tolist() == list(range(1000))


@pytest.mark.parametrize("kind", ["elbo", "vq", "audio"])
def test_a_loader_of_ones_own_needs_no_index(kind: str, tmp_path: Path) -> None:
    lit, data = small_generator(kind)
    name = "waveform" if kind == "audio" else "image"
    rows = [{name: data.tensors()[name][place], "label": data.labels[place]} for place in range(len(data))]
    with quiet():
        done = L.Trainer(
            max_steps=4, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        done.fit(lit, DataLoader(rows, batch_size=8))  # type: ignore[arg-type]
    assert done.global_step >= 2
    assert lit.ema.seen == 8 * done.global_step


@pytest.mark.parametrize(
    "labels",
    [[0, 1, 1], ("across", "down", 1), np.array([0, 1, 1]), np.array(["across", "down", "down"]),
     torch.tensor([0, 1, 1], dtype=torch.int32), torch.tensor([0, 1, 1])],
)  # fmt: skip
def test_labels_of_samples_are_taken_in_any_form(labels: Any) -> None:
    lit = module("elbo", 4)
    wanted = torch.cat([lit.sample(1, 0, seed=3), lit.sample(2, 1, seed=3)])
    torch.testing.assert_close(lit.sample(3, labels, seed=3), wanted)
    for one in (np.int64(1), torch.tensor(1), "down", 1):
        torch.testing.assert_close(lit.sample(2, one, seed=3), wanted[1:])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([0, 1], r"LitVAE.sample: labels must be \(3,\), a class for each sample, got \(2,\)"),
        (torch.zeros(3, 2, dtype=torch.int64), r"labels must be \(3,\), .*, got \(3, 2\)"),
        ([], r"labels must be \(3,\), .*, got \(0,\)"),
        ([0, 1, 2], r"expected a class the generator knows \(across, down\), got 2"),
        (torch.tensor([0, -1, 1]), r"expected a class the generator knows \(across, down\), got -1"),
        (["across", "up", "down"], r"expected a class the generator knows \(across, down\), got 'up'"),
        (np.array([0.0, 1.0, 1.5]), r"expected a class the generator knows \(across, down\), got"),
        (torch.ones(3, dtype=torch.bool), r"expected a class the generator knows \(across, down\), got True"),
    ],
)
def test_labels_that_are_none_are_refused(labels: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        module("elbo", 4).sample(3, labels)
