"""Settings of generators: which there are, and what is said of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch

from torchaug.data import TensorImages, digits, vowels, wine
from torchaug.models.table_codec import TableCodec
from torchaug.models.table_diffusion import TabularDiffusion
from torchaug.models.table_gan import TabularGAN
from torchaug.models.table_model import TableModel
from torchaug.models.table_vae import TabularVAE
from torchaug.training.load import KINDS
from torchaug.training.private_tables import PRIVATE
from torchaug.training.settings import settings_of

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
