"""Generators from their checkpoints, whatever their kind."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from torchaug.training.audio import LitAudioVAE
from torchaug.training.gan import LitGAN
from torchaug.training.generator import LitGenerator, check_format
from torchaug.training.table import LitTableDiffusion, LitTableVAE
from torchaug.training.table_gan import LitTableGAN
from torchaug.training.vae import LitVAE

KINDS: dict[str, type[LitGenerator]] = {
    module.kind: module for module in (LitVAE, LitGAN, LitTableDiffusion, LitTableVAE, LitTableGAN, LitAudioVAE)
}


def load_generator(path: str | Path) -> LitGenerator:
    """The generator in a checkpoint that a `LitGenerator` saved, on the CPU and ready to sample.

    Nothing in the file is executed: it is read with `weights_only=True`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else; the text says what was found.
    """
    kind = check_checkpoint(read_checkpoint(path), path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*LeafSpec.*", DeprecationWarning)  # Lightning's own, torch >= 2.9
        generator: LitGenerator = KINDS[kind].load_from_checkpoint(path, map_location="cpu", weights_only=True)
    return generator.eval()


def read_checkpoint(path: str | Path) -> Any:
    """What `torch.save` wrote to a file, read without executing anything."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"load_generator: expected a checkpoint at {path}, found no such file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that are no checkpoint take the unpickler to errors of any kind
        reason = str(error).strip().splitlines()
        raise ValueError(
            f"load_generator: expected a torchaug checkpoint in {path}, found a file that torch cannot read safely "
            f"({reason[0][:200] if reason else type(error).__name__}); pass the file that torchaug fit wrote"
        ) from error


def check_checkpoint(checkpoint: Any, path: str | Path) -> str:
    """The kind of a checkpoint, or an error that says what was found instead."""
    kinds = f"one of {', '.join(KINDS)}"
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        found = (
            f"a {type(checkpoint).__name__}" if not isinstance(checkpoint, dict) else f"entries {list(checkpoint)[:5]}"
        )
        raise ValueError(f"load_generator: expected a Lightning checkpoint of {kinds} in {path}, found {found}")
    label = checkpoint.get("torchaug")
    if not isinstance(label, dict) or label.get("kind") not in KINDS:
        first = [name.split(".")[0] for name in checkpoint["state_dict"]]
        found = repr(label.get("kind")) if isinstance(label, dict) else f"weights of {sorted(set(first))[:5]}"
        raise ValueError(f"load_generator: expected a checkpoint of {kinds} in {path}, found {found}")
    check_format(label.get("format"), "load_generator", path)
    return str(label["kind"])
