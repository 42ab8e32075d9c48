"""Images in memory, and the way into it from any map-style data set."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from torchaug.data.decode import check_size, is_grey, resize_to, to_tensor
from torchaug.data.items import Item


class TensorImages(Dataset[Item]):
    """Images of one size in memory: items are `{"image", "label", "index"}`.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,) int64 in [0, len(classes)).
        classes: a name for each class.

    >>> data = TensorImages(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]), ["cat", "dog"])
    >>> len(data), data[1]["image"].shape, data[1]["label"]
    (2, torch.Size([1, 4, 4]), 1)
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
        if images.ndim != 4 or images.dtype != torch.uint8:
            raise ValueError(
                f"TensorImages: images must be (N, C, H, W) uint8, got {images.dtype} {tuple(images.shape)}"
            )
        if not len(images):
            raise ValueError("TensorImages: expected at least one image, got none")
        if labels.shape != images.shape[:1]:
            raise ValueError(
                f"TensorImages: labels must be ({len(images)},) for {len(images)} images, got {tuple(labels.shape)}"
            )
        self.images, self.classes = images, list(map(str, classes))
        self.labels = check_labels(labels, self.classes, "TensorImages")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Item:
        # a copy: a transform that works in place must not change the data set
        return {"image": self.images[index].clone(), "label": int(self.labels[index]), "index": index}

    def subset(self, indices: Tensor | Sequence[int]) -> TensorImages:
        """The images at `indices`, with all the classes."""
        indices = torch.as_tensor(indices, dtype=torch.int64)
        return TensorImages(self.images[indices], self.labels[indices], self.classes)

    def in_memory(self) -> TensorImages:
        """Itself."""
        return self

    def tensors(self) -> dict[str, Tensor]:
        """The content of all items: {"image": (N, C, H, W) uint8}."""
        return {"image": self.images}


def check_labels(labels: Tensor, classes: Sequence[str], who: str) -> Tensor:
    """`labels` as int64, or an error that names the first label out of range."""
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"{who}: labels must be whole numbers, got {labels.dtype}; class numbers start at 0")
    labels = labels.to(torch.int64)
    bad = ((labels < 0) | (labels >= len(classes))).nonzero()
    if len(bad):
        first = int(bad[0])
        raise ValueError(
            f"{who}: labels must be in [0, {len(classes)}) for {len(classes)} classes, got {int(labels[first])} "
            f"at index {first}; class numbers start at 0"
        )
    return labels


def digits() -> TensorImages:
    """Scikit-learn's 1797 handwritten digits (Alpaydin and Kaynak 1998, UCI): (1797, 1, 8, 8) uint8, ten classes.

    The 17 grey levels 0..16 are scaled to 0..255. The set comes with scikit-learn: nothing is downloaded.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("digits: needs scikit-learn; pip install 'torchaug-synth[demo]'") from error
    data = load_digits()
    grey = torch.from_numpy(np.round(data.images * 255 / 16).astype(np.uint8))
    return TensorImages(grey[:, None], torch.from_numpy(data.target), [str(name) for name in data.target_names])


def as_images(dataset: Dataset[Any], *, size: tuple[int, int] | None = None, fit: str = "crop") -> TensorImages:
    """Any map-style data set of images and class numbers, loaded into memory.

    Args:
        dataset: items are (image, label) or dicts with "image" and "label". An image is a PIL image, a tensor (C, H, W)
            or (H, W), uint8 or float in [0, 1], or an array (H, W) or (H, W, C) of uint8. Class names come from
            `dataset.classes` where there are any.
        size: height and width; needed when the images differ in size.
        fit: "crop" or "pad", how images get that size.

    Raises:
        ValueError, TypeError: naming the index of the item at fault.

    >>> as_images([(torch.rand(3, 4, 4), 0), (torch.rand(1, 4, 4), 1)]).images.shape
    torch.Size([2, 3, 4, 4])
    """
    if isinstance(dataset, TensorImages) and size is None:
        return dataset
    if isinstance(dataset, IterableDataset) or not isinstance(dataset, Sized):
        raise TypeError(
            f"as_images: expected a map-style data set with __len__ and __getitem__, got {type(dataset).__name__}"
        )
    if not len(dataset):
        raise ValueError(f"as_images: expected at least one item, got an empty {type(dataset).__name__}")
    check_size(size, "as_images")
    items = [_read(dataset, index) for index in range(len(dataset))]
    images = [image if size is None else resize_to(image, size, fit) for image, _ in items]
    labels = [label for _, label in items]
    names = _class_names(dataset, labels)
    return TensorImages(_stack(images), check_labels(torch.tensor(labels), names, "as_images"), names)


def _read(dataset: Any, index: int) -> tuple[Tensor, int]:
    try:
        image, label = _parts(dataset[index])
        return _pixels(image), _class_number(label)
    except Exception as error:  # whatever the user's data set raises
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"as_images: item {index}: {error}") from error


def _stack(images: list[Tensor]) -> Tensor:
    """One tensor of uint8 images (C, H, W); grey ones become RGB where others are; the odd one out is named."""
    if any(len(image) == 3 for image in images):
        images = [image.expand(3, -1, -1) if len(image) == 1 else image for image in images]
    for index, image in enumerate(images):
        if image.shape != images[0].shape:
            raise ValueError(
                f"as_images: images must have one shape, got {tuple(image.shape)} at index {index} beside "
                f"{tuple(images[0].shape)} at index 0; pass size=(height, width)"
            )
    return torch.stack(images)


def _parts(item: Any) -> tuple[Any, Any]:
    if isinstance(item, dict) and {"image", "label"} <= item.keys():
        return item["image"], item["label"]
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return item[0], item[1]
    got = sorted(map(str, item)) if isinstance(item, dict) else type(item).__name__
    raise TypeError(f"expected (image, label) or a dict with 'image' and 'label', got {got}")


def _pixels(given: Any) -> Tensor:
    """A PIL image, tensor or array as uint8 (C, H, W)."""
    if isinstance(given, Image.Image):
        return to_tensor(given, "L" if is_grey(given.mode) else "RGB")
    if isinstance(given, np.ndarray):
        given = torch.from_numpy(given if given.ndim != 3 else given.transpose(2, 0, 1).copy())
    if not isinstance(given, Tensor):
        raise TypeError(f"expected a PIL image, a tensor or an array, got {type(given).__name__}")
    image: Tensor = given.as_subclass(Tensor)  # a tv_tensors.Image becomes plain
    image = image[None] if image.ndim == 2 else image
    if image.ndim != 3:
        raise ValueError(f"expected an image (C, H, W) or (H, W), got {tuple(image.shape)}")
    if image.dtype == torch.uint8:
        return image
    if not image.is_floating_point():
        raise TypeError(f"expected uint8 or float in [0, 1], got {image.dtype}")
    if not bool(((image >= 0) & (image <= 1)).all()):
        raise ValueError("expected float pixels in [0, 1], got values outside (or NaN); undo Normalize, or scale")
    return (image * 255).round().to(torch.uint8)


def _class_number(label: Any) -> int:
    if isinstance(label, Tensor) and label.numel() == 1:
        label = label.item()
    if isinstance(label, (int, np.integer)) and not isinstance(label, bool):
        return int(label)
    raise TypeError(f"expected a class number, got {label!r}")


def _class_names(dataset: Any, labels: list[int]) -> list[str]:
    while not hasattr(dataset, "classes") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset  # a Subset, and other wrappers of its kind
    names = getattr(dataset, "classes", None)
    return [str(name) for name in names] if names else [str(number) for number in range(max(labels) + 1)]
