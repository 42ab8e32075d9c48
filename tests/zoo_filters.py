from __future__ import annotations

from torchaug.image.blur import AdvancedBlur, BoxBlur, GaussianBlur, MedianBlur, MotionBlur
from torchaug.image.defocus import Defocus, GlassBlur, ZoomBlur
from torchaug.image.sharpen import Emboss, RingingOvershoot, UnsharpMask
from torchaug.transform import Layer

ZOO: dict[str, Layer] = {
    "gaussian_blur": GaussianBlur((5, 9), sigma=(0.5, 3)),
    "gaussian_blur_derived": GaussianBlur(sigma=(0.5, 6)),
    "box_blur": BoxBlur((1, 5)),
    "median_blur": MedianBlur((3, 7), p=1.0),
    "motion_blur": MotionBlur((3, 9), p=1.0),
    "defocus": Defocus((1, 9), p=1.0),
    "zoom_blur": ZoomBlur(1.3, p=1.0),
    "glass_blur": GlassBlur(p=1.0),
    "unsharp_mask": UnsharpMask((3, 7), alpha=(0.5, 2), threshold=3, p=1.0),
    "advanced_blur": AdvancedBlur(p=1.0),
    "emboss": Emboss((0.5, 1), p=1.0),
    "ringing_overshoot": RingingOvershoot(p=1.0),
}
