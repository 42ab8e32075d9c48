"""What tests/zoo_audio.py takes of this topic."""

from __future__ import annotations

from torchaug.transform import Layer

ALONE: dict[str, Layer] = {}
MIXING: dict[str, Layer] = {}
