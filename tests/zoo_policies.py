from __future__ import annotations

from torchaug.image.augmix import AugMix
from torchaug.image.policies import AutoAugment, RandAugment, ThreeAugment, TrivialAugmentWide
from torchaug.image.timm import TimmAugMix, TimmAutoAugment, TimmRandAugment, timm_augment
from torchaug.transform import Layer

ZOO: dict[str, Layer] = {  # with few slots: each operation of each slot is compiled
    "rand_augment": RandAugment(num_ops=1, magnitude=27, interpolation="bilinear", fill=0.4),
    "auto_augment": AutoAugment("cifar10", p=0.8),
    "trivial_augment": TrivialAugmentWide(),
    "augmix": AugMix(severity=8, chain_depth=2, all_ops=False),
    "three_augment": ThreeAugment(),
    "timm_rand": TimmRandAugment("rand-m15-n1-p0.8-mmax20-tweights"),
    "timm_auto": TimmAutoAugment("3a"),
    "timm_augmix": TimmAugMix("augmix-m5-w2-d1-mstd1"),
}

MORE: dict[str, Layer] = {  # for tests that compile nothing
    "rand_augment_twice": RandAugment(magnitude=15),
    "augmix_usual": AugMix(),
    "timm_rand_weighted": TimmRandAugment("rand-m9-n3-tweights"),
    "rand_augment_nearest": RandAugment(num_ops=3, magnitude=30),
    "auto_augment_imagenet": AutoAugment(),
    "auto_augment_svhn": AutoAugment("svhn", interpolation="bilinear"),
    "augmix_even": AugMix(mixture_width=2, chain_depth=1, alpha=4.0, all_ops=False, interpolation="nearest"),
    "timm_rand_increasing": timm_augment("rand-m9-mstd0.5-inc1"),
    "timm_original": TimmAutoAugment("original-mstd0.5"),
    "timm_v0": TimmAutoAugment("v0r"),
    "timm_augmix_deep": TimmAugMix(),
}
