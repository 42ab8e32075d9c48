"""What tests/zoo_audio.py takes of this topic."""

from __future__ import annotations

from torchaug import audio as A
from torchaug.transform import Layer

ALONE: dict[str, Layer] = {
    "polarity": A.PolarityInversion(p=1.0),
    "time_inversion": A.TimeInversion(p=0.8),
}
MIXING: dict[str, Layer] = {}
