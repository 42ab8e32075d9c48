"""The data path: readers, banks of generated images, the exact mixture of sources, and the loader that augments."""

from torchaug.data.bank import Bank, BankWriter
from torchaug.data.errors import SampleError
from torchaug.data.images import Item, TensorImages, as_images, digits
from torchaug.data.readers import ImageFolderDataset, load, read_folder
from torchaug.data.splits import imbalanced_split

__all__ = [
    "Bank",
    "BankWriter",
    "ImageFolderDataset",
    "Item",
    "SampleError",
    "TensorImages",
    "as_images",
    "digits",
    "imbalanced_split",
    "load",
    "read_folder",
]
