"""Settings of generators: which there are, and what is said of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from torchaug.data import TensorImages, digits, vowels, wine
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
