"""What an augmentation must be, for a generator to be trained through it."""

from __future__ import annotations

from torch import Tensor

from torchaug.image.mix import Mix
from torchaug.transform import Layer


def check_apart(transform: object, who: str) -> None:
    """Refuses a transform of torchaug some of whose steps mix samples of a batch.

    A sample would then be of two labels while it is learnt as of one, and the penalties of a GAN no longer be of one image.

    >>> from torchaug.image import MixUp
    >>> check_apart(MixUp(num_classes=2), "LitVAE")
    Traceback (most recent call last):
    ValueError: LitVAE: expected an augmentation of each sample on its own, got MixUp, which mixes samples; leave it out
    """
    leaves = transform.leaves() if isinstance(transform, Layer) else []
    mixing = list(dict.fromkeys(type(leaf).__name__ for leaf in leaves if isinstance(leaf, Mix)))
    if mixing:
        many = len(mixing) > 1
        raise ValueError(
            f"{who}: expected an augmentation of each sample on its own, got {', '.join(mixing)}, which "
            f"{'mix' if many else 'mixes'} samples; leave {'them' if many else 'it'} out"
        )


def check_size(images: Tensor, augmented: Tensor, who: str) -> None:
    """Refuses images that have another size than before they were augmented."""
    if augmented.shape != images.shape:
        raise ValueError(
            f"{who}: expected an augment that keeps the size, got {tuple(images.shape)} to {tuple(augmented.shape)}; "
            "leave crops and resizes to other sizes out"
        )
