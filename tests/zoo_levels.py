from __future__ import annotations

from torchaug.image.clahe import CLAHE
from torchaug.image.superpixels import Superpixels
from torchaug.image.tone import (
    RandomAdjustSharpness,
    RandomAutocontrast,
    RandomEqualize,
    RandomGamma,
    RandomInvert,
    RandomPosterize,
    RandomSolarize,
    RandomToneCurve,
    SolarizeAdd,
)
from torchaug.transform import Layer

ZOO: dict[str, Layer] = {
    "invert": RandomInvert(p=1.0),
    "posterize": RandomPosterize((1, 6), p=1.0),
    "solarize": RandomSolarize((0.2, 0.8), p=1.0),
    "solarize_add": SolarizeAdd((0.1, 0.4), threshold=(0.3, 0.7)),
    "autocontrast": RandomAutocontrast(p=1.0),
    "equalize": RandomEqualize(p=1.0),
    "sharpness": RandomAdjustSharpness((0.0, 3.0), p=1.0),
    "gamma": RandomGamma((0.4, 2.5), gain=(0.8, 1.3), p=1.0),
    "tone_curve": RandomToneCurve(0.3, p=1.0),
    "tone_curve_per_channel": RandomToneCurve(0.3, per_channel=True, p=1.0),
    "superpixels": Superpixels((0.2, 0.9), (9, 30), p=1.0),
    "superpixels_small": Superpixels(0.5, (4, 9), max_size=20, compactness=30, p=1.0),
    "clahe": CLAHE((1.0, 6.0), p=1.0),
    "clahe_coarse": CLAHE(3.0, (2, 3), p=1.0),
}
