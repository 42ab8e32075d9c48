"""Settings of generators: which there are, and what is said of others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import lightning.pytorch as L
import numpy as np
import pytest
import torch

from torchaug.data import TableDataset, TensorImages, TensorWaveforms, digits, vowels, wine
from torchaug.models.privacy import Privacy
from torchaug.models.table_codec import TableCodec
from torchaug.models.table_diffusion import TabularDiffusion
from torchaug.models.table_gan import TabularGAN
from torchaug.models.table_model import TableModel
from torchaug.models.table_vae import TabularVAE
from torchaug.training.callbacks import ReportProgress
from torchaug.training.data import SynthesisDataModule
from torchaug.training.fit import fit
from torchaug.training.gan import LitGAN
from torchaug.training.load import KINDS, load_generator
from torchaug.training.private_tables import PRIVATE
from torchaug.training.quiet import quiet
from torchaug.training.settings import settings_of
from torchaug.training.vae import LitVAE

DATA: dict[str, Callable[[], Any]] = {"vae": digits, "gan": digits, "audio-vae": lambda: vowels(2)}


def test_settings_are_those_of_the_class_and_of_what_it_hands_them_to() -> None:
    class Base:
        def __init__(self, classes: list[str], latent: int = 3, rate: float | None = None, seed: int = 0) -> None: ...

    class Kind(Base):
        def __init__(self, codec: dict[str, Any], mels: int = 4, latent: str = "a", **settings: Any) -> None: ...

    assert settings_of(Kind) == {"mels": int, "latent": str, "rate": float | None}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["latnt", "seed", "classes", "steps"])
def test_a_setting_that_there_is_not_is_named_beside_those_there_are(kind: str, name: str) -> None:
    data: Any = DATA.get(kind, wine)()
    with pytest.raises(TypeError, match=rf"^{KINDS[kind].__name__}: expected .*learning_rate.*, got {name}$"):
        KINDS[kind].for_data(data, 1, settings={name: 3})


WRONG: dict[str, tuple[Any, ...]] = {
    "latent": (0, -1, 2.5),
    "width": (0, -8, 1.5),
    "blocks": (0, -1),
    "sampling_steps": (0, -3),
    "components": (0,),
    "draws": (0, 1.5),
    "codes": (1,),
    "code_size": (0,),
    "lazy": (0,),
    "accumulate": (0,),
    "learning_rate": (0, -1e-3, float("nan"), float("inf")),
    "half_life": (0, -1.0),
    "temperature": (0, -1.0),
    "adaptive_kimg": (0,),
    "beta": (-1.0, float("nan"), None),
    "free_nats": (-0.1,),
    "mmd_weight": (-1,),
    "gamma": (-1.0,),
    "pooling": (-1.0,),
    "novelty": (-0.1, "0.7"),
    "given_share": (-0.1, 2, 1.01),
    "augment_p": (-0.1, 1.1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_setting_that_cannot_be_is_refused_in_plain_words(kind: str) -> None:
    data: Any = DATA.get(kind, wine)()
    there = KINDS[kind].settings()
    numbers = {name for name, hint in there.items() if {int, float} & {hint, *get_args(hint)}}
    assert numbers - {"levels"} <= WRONG.keys()  # levels: below
    for name in there.keys() & WRONG.keys():
        for value in WRONG[name]:
            words = rf"^{KINDS[kind].__name__}: {name} must be a (whole )?number .*, got {value!r}$"
            with pytest.raises(ValueError, match=words):
                KINDS[kind].for_data(data, 1, settings={name: value})
    for name in {"latent", "gamma", "pooling"} & {name for name in there if type(None) in get_args(there[name])}:
        KINDS[kind].for_data(data, 1, settings={name: None})


@pytest.mark.parametrize("model", [TabularVAE, TabularGAN, TabularDiffusion])
def test_models_of_tables_refuse_sizes_that_no_network_has(model: type[TableModel]) -> None:
    codec = TableCodec.fit(wine())
    sizes = {"width", "blocks", *({"steps"} if model is TabularDiffusion else {"latent"})}
    for name in sizes:
        with pytest.raises(ValueError, match=f"{model.__name__}: {name} must be a whole number of at least 1, got 0"):
            model(codec, 3, **{name: 0})
    with pytest.raises(ValueError, match="TabularGAN: temperature must be a number above 0, got 0"):
        TabularGAN(codec, 3, temperature=0)


@pytest.mark.parametrize("kind", PRIVATE)
def test_private_kinds_have_the_settings_of_others(kind: str) -> None:
    assert PRIVATE[kind].settings() == KINDS[kind].settings()
    assert "learning_rate" in KINDS[kind].settings()


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_images_have_only_values_of_the_levels_that_are_asked_for(kind: str) -> None:
    for levels in (17, 33, 256):
        module = KINDS[kind].for_data(digits(), 1, settings={"levels": levels})
        assert module.hparams["levels"] == levels
    for levels in (1, 9, 16, 64):
        with pytest.raises(ValueError, match=rf": levels must be 256, or so many .*, such as 17, got {levels}$"):
            KINDS[kind].for_data(digits(), 1, settings={"levels": levels})
    noise = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8)
    many = TensorImages(noise, torch.zeros(8, dtype=torch.int64), ["a"])
    with pytest.raises(ValueError, match="such as 256, got 17"):
        KINDS[kind].for_data(many, 1, settings={"levels": 17})


NUMPYS: dict[str, dict[str, Any]] = {
    "vae": {"latent": np.int64(4), "learning_rate": np.float64(1e-3)},
    "gan": {"latent": np.int64(4), "gamma": np.float32(0.5), "loss": np.str_("hinge")},
    "audio-vae": {"latent": np.int64(4), "beta": np.float32(0.5), "bic": np.bool_(True)},
    "table-diffusion": {"learning_rate": np.float64(1e-3)},
    "table-vae": {"learning_rate": np.float32(1e-3)},
    "table-gan": {"learning_rate": np.float32(1e-3)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_settings_steps_and_seed_may_be_numbers_of_numpy(kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "steps": np.int64(2),
        "seed": np.int64(3),
        "batch_size": np.int64(4),
        "every": np.int64(0),
    }
    data = DATA.get(kind, wine)()
    file = fit(kind, data, out=tmp_path / "a", settings=NUMPYS[kind], **options)
    generator = load_generator(file)
    plain = {name: value.item() for name, value in NUMPYS[kind].items()}
    same = fit(kind, data, out=tmp_path / "b", settings=plain, steps=2, seed=3, batch_size=4, every=0)
    first, second = (torch.load(path, weights_only=True) for path in (file, same))
    assert first["hyper_parameters"] == second["hyper_parameters"]
    assert all(torch.equal(value, second["state_dict"][name]) for name, value in first["state_dict"].items())
    generator.sample(np.int64(2), seed=np.int64(3))  # type: ignore[arg-type]


def test_a_module_made_by_hand_with_numbers_of_numpy_can_be_loaded(tmp_path: Path) -> None:
    lit = LitVAE((1, 8, 8), np.array(digits().classes), np.int64(2), latent=np.int64(4), learning_rate=np.float64(1e-3))  # type: ignore[arg-type]
    with quiet():
        trainer = L.Trainer(
            max_steps=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.fit(lit, SynthesisDataModule(digits(), np.int64(8), seed=np.int64(1)))  # type: ignore[arg-type]
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = load_generator(tmp_path / "a.ckpt")
    assert (loaded.classes, loaded.hparams["latent"]) == (digits().classes, 4)
    assert {type(name) for name in loaded.classes} == {str}


def test_names_of_classes_are_text_whatever_they_were() -> None:
    names, images, sounds, table = np.array(["a", "b", "c"]), digits().subset([0]), vowels(1).subset([0]), wine()
    zero = torch.zeros(1, dtype=torch.int64)
    every = [
        TensorImages(images.images, zero, names).classes,  # type: ignore[arg-type]
        TensorWaveforms(sounds.waveforms, zero, names, sample_rate=8000).classes,  # type: ignore[arg-type]
        TableDataset(table.numeric, table.categorical, table.columns, table.labels, names).classes,  # type: ignore[arg-type]
    ]
    for classes in every:
        assert classes == ["a", "b", "c"]
        assert {type(name) for name in classes} == {str}


@pytest.mark.parametrize(
    ("side", "gpu", "given", "expected"),
    [
        (8, False, {"preset": "base"}, {"preset": "base", "learning_rate": 5e-4, "lazy": 1}),
        (8, False, {"preset": "small", "lazy": 2}, {"preset": "small", "learning_rate": 2e-3, "lazy": 2}),
        (64, False, {"preset": "base"}, {"preset": "base", "learning_rate": 5e-4, "lazy": 1}),
        (64, True, {"preset": "narrow"}, {"preset": "narrow", "learning_rate": 3e-3, "lazy": 1}),
        (64, True, {"learning_rate": 1.0}, {"preset": "base", "learning_rate": 1.0, "lazy": 1}),
        (8, False, {}, {"preset": "tiny", "learning_rate": 2e-3, "lazy": 4}),
    ],
)
def test_what_is_not_given_suits_what_is_given(
    side: int, gpu: bool, given: dict[str, Any], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    images = TensorImages(torch.zeros(2, 1, side, side, dtype=torch.uint8), torch.tensor([0, 1]), ["a", "b"])
    found = LitGAN.chosen_settings(images, given)
    assert {name: found[name] for name in expected} == expected
    assert LitVAE.chosen_settings(digits(), {"levels": 256})["likelihood"] == "gaussian"
    assert LitVAE.chosen_settings(digits(), {"preset": "small"})["likelihood"] == "binomial"
    assert PRIVATE["gan"].chosen_settings(images, {"preset": "tiny"})["lazy"] == 1


@pytest.mark.parametrize("kind", ["vae", "gan", "audio-vae", "table-vae"])
def test_a_training_goes_on_with_the_settings_that_it_was_begun_with(kind: str, tmp_path: Path) -> None:
    """With none given again, as on a machine that others would suit."""
    data = DATA.get(kind, wine)()
    data = data.subset(torch.arange(10))
    own: dict[str, Any] = {"blocks": 1} if kind == "table-vae" else {"preset": "small", "latent": 4}
    options: dict[str, Any] = {"out": tmp_path, "batch_size": 4, "every": 0}
    fit(kind, data, settings={**own, "learning_rate": 3e-4}, steps=1, **options)
    module = load_generator(fit(kind, data, steps=2, resume=True, **options))
    assert {name: module.hparams[name] for name in own} == own
    assert (module.hparams["steps"], module.hparams["learning_rate"]) == (2, 3e-4)
    slower = fit(kind, data, settings={"learning_rate": 1e-5}, steps=3, resume=True, **options)
    assert load_generator(slower).hparams["learning_rate"] == 1e-5
    checkpoint = torch.load(slower, weights_only=True)
    assert all(schedule["base_lrs"] == [1e-5] for schedule in checkpoint["lr_schedulers"])
    assert all(state["param_groups"][0]["lr"] <= 1e-5 for state in checkpoint["optimizer_states"])
    with pytest.raises(ValueError, match=r"was trained with half_life .* and 7.0 was asked for"):
        fit(kind, data, settings={"half_life": 7.0}, steps=4, resume=True, **options)


@pytest.mark.parametrize("kind", ["vae", "table-vae"])
def test_a_private_training_goes_on_with_the_settings_that_it_was_begun_with(kind: str, tmp_path: Path) -> None:
    data = DATA.get(kind, wine)()
    data = data.subset(torch.arange(100))
    bounds: dict[str, Any] = {}
    if kind == "table-vae":
        numeric = [column.name for column in data.columns if column.kind == "numeric"]
        bounds = {"bounds": dict.fromkeys(numeric, (0.0, 2000.0))}
    options: dict[str, Any] = {"out": tmp_path, "batch_size": 4, "every": 0, "steps": 4}
    options["privacy"] = Privacy(epsilon=8.0, delta=1e-4, secret=3)
    own = {"learning_rate": 1e-3, **({} if bounds else {"preset": "small"})}

    class Stop(Exception):
        pass

    def stop(done: int, *_: Any) -> None:
        if done >= 2:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchaug.training.run.ReportProgress", functools.partial(ReportProgress, every_n_steps=1))
        with pytest.raises(Stop):
            fit(kind, data, settings={**own, **bounds}, progress=stop, **{**options, "every": 1})
    module = load_generator(fit(kind, data, settings=bounds, resume=True, **options))
    assert {name: module.hparams[name] for name in own} == own
