from __future__ import annotations

from torchaug.transform import Layer

ZOO: dict[str, Layer] = {}
