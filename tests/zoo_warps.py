from __future__ import annotations

from torchaug.image.distortion import ElasticTransform, GridDistortion, PiecewiseAffine, ThinPlateSpline
from torchaug.image.lenses import Fisheye, OpticalDistortion
from torchaug.image.shuffle import RandomGridShuffle
from torchaug.transform import Layer

ZOO: dict[str, Layer] = {
    "elastic": ElasticTransform(80.0, 6.0),
    "elastic_nearest": ElasticTransform((90.0, 60.0), (7.0, 5.0), interpolation="nearest", fill=0.5),
    "grid_distortion": GridDistortion(4, 0.15, p=1.0),
    "optical_distortion": OpticalDistortion((0.1, 0.4), p=1.0),
    "optical_fisheye": OpticalDistortion((-0.3, 0.3), mode="fisheye", fill=(0.1, 0.5, 0.9), p=1.0),
    "fisheye": Fisheye(0.1, 0.1, (2.5, 3.5), p=1.0),
    "piecewise_affine": PiecewiseAffine((0.03, 0.05), p=1.0),
    "thin_plate": ThinPlateSpline(p=1.0),
    "grid_shuffle": RandomGridShuffle((3, 1), p=1.0),
}
