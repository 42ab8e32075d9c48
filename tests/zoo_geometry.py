from __future__ import annotations

from torchaug.image.crops import AtLeastOneBBoxRandomCrop, BBoxSafeRandomCrop, CropNonEmptyMaskIfExists, RandomIoUCrop
from torchaug.image.pads import CropOrPad, Pad, PadIfNeeded, RandomZoomOut
from torchaug.image.perspective import RandomPerspective, RandomShear, RandomTranslate, SafeRotate, ShiftScaleRotate
from torchaug.image.sizes import LongestMaxSize, RandomResize, RandomShortestSize, ScaleJitter, SmallestMaxSize
from torchaug.image.symmetry import RandomD4, RandomRotation90, RandomTranspose
from torchaug.transform import Layer

ZOO: dict[str, Layer] = {
    "transpose": RandomTranspose(p=1.0),
    "rotation90": RandomRotation90(times=(1, 2, 3), p=1.0),
    "d4": RandomD4(),
    "pad": Pad((3, 5, 2, 1), fill=0.4),
    "pad_reflected": Pad((7, 5), padding_mode="reflect"),
    "pad_if_needed": PadIfNeeded(40, None, pad_width_divisor=32, position="bottom_left"),
    "crop_or_pad": CropOrPad((24, 44), padding_mode="edge"),
    "zoom_out": RandomZoomOut(fill=0.3, side_range=(1.2, 2), p=1.0),
    "longest": LongestMaxSize(30),
    "smallest": SmallestMaxSize(41, interpolation="bicubic"),
    "shortest_size": RandomShortestSize([19, 28, 40], max_size=44),
    "random_resize": RandomResize(18, 40),
    "scale_jitter": ScaleJitter((34, 30), (0.4, 1.6)),
    "shear": RandomShear((-30, 30, -20, 20)),
    "translate": RandomTranslate((0.3, 0.4), fill=(0.1, 0.5, 0.9)),
    "shift_scale_rotate": ShiftScaleRotate(0.2, 0.3, p=1.0),
    "safe_rotate": SafeRotate(p=1.0),
    "perspective": RandomPerspective(p=1.0),
    "perspective_nearest": RandomPerspective(0.3, p=1.0, interpolation="nearest", fill=0.6),
    "iou_crop": RandomIoUCrop(sampler_options=[0.0, 0.1, 0.3]),
    "safe_crop": BBoxSafeRandomCrop(erosion_rate=0.4),
    "one_box_crop": AtLeastOneBBoxRandomCrop(20, 24),
    "mask_crop": CropNonEmptyMaskIfExists(20, 24),
}
