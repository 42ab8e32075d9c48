"""The data path: readers, banks of generated images, the exact mixture of sources, and the loader that augments."""

from torchaug.data.bank import Bank, BankWriter
from torchaug.data.errors import SampleError
from torchaug.data.images import Item, TensorImages, as_images, digits
from torchaug.data.live import Fill
from torchaug.data.loader import DeviceLoader
from torchaug.data.mixed import MixedDataset, fingerprint, item_hashes
from torchaug.data.readers import (
    AudioDataset,
    FileDataset,
    ImageFolderDataset,
    Selection,
    load,
    read_audio_folder,
    read_audio_manifest,
    read_folder,
    read_table,
    read_text,
    read_tokens,
)
from torchaug.data.resample_audio import resample
from torchaug.data.sampler import MixedSampler, Plan
from torchaug.data.schedule import Constant, Cosine, Linear, Piecewise, Schedule
from torchaug.data.source import Source
from torchaug.data.splits import imbalanced_split
from torchaug.data.tables import Column, TableDataset, breast_cancer, wine

__all__ = [
    "AudioDataset",
    "Bank",
    "BankWriter",
    "Column",
    "Constant",
    "Cosine",
    "DeviceLoader",
    "FileDataset",
    "Fill",
    "ImageFolderDataset",
    "Item",
    "Linear",
    "MixedDataset",
    "MixedSampler",
    "Piecewise",
    "Plan",
    "SampleError",
    "Schedule",
    "Selection",
    "Source",
    "TableDataset",
    "TensorImages",
    "as_images",
    "breast_cancer",
    "digits",
    "fingerprint",
    "imbalanced_split",
    "item_hashes",
    "load",
    "read_audio_folder",
    "read_audio_manifest",
    "read_folder",
    "read_table",
    "read_text",
    "read_tokens",
    "resample",
    "wine",
]
