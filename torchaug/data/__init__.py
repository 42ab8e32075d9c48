"""The data path: readers, banks of generated images, the exact mixture of sources, and the loader that augments."""

from torchaug.audio.resample import resample
from torchaug.data.bank import Bank, BankWriter, export, merge, read_decisions
from torchaug.data.collate import collate
from torchaug.data.errors import SampleError
from torchaug.data.images import TensorImages, as_images, digits
from torchaug.data.items import Item
from torchaug.data.leaks import fingerprint, item_hashes
from torchaug.data.live import Fill
from torchaug.data.loader import DeviceLoader
from torchaug.data.mixed import MixedDataset
from torchaug.data.readers import (
    AudioDataset,
    CocoDataset,
    FileDataset,
    ImageFolderDataset,
    Selection,
    load,
    read_audio_folder,
    read_audio_manifest,
    read_coco,
    read_dicom,
    read_folder,
    read_hub,
    read_manifest,
    read_nifti,
    read_table,
    read_table_like,
    read_tar,
    read_text,
    read_tokens,
)
from torchaug.data.sampler import MixedSampler, Plan
from torchaug.data.schedule import Constant, Cosine, Linear, Piecewise, Schedule
from torchaug.data.snapshot import Snapshot
from torchaug.data.source import Source
from torchaug.data.splits import imbalanced_split
from torchaug.data.spoken import spoken
from torchaug.data.table_files import write_table
from torchaug.data.tables import Column, TableDataset, breast_cancer, wine
from torchaug.data.topup import TopUp, prior_correct, prior_shift
from torchaug.data.transactions import transactions
from torchaug.data.vowels import vowels
from torchaug.data.waveforms import TensorWaveforms

__all__ = [
    "AudioDataset",
    "Bank",
    "BankWriter",
    "CocoDataset",
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
    "Snapshot",
    "Source",
    "TableDataset",
    "TensorImages",
    "TensorWaveforms",
    "TopUp",
    "as_images",
    "breast_cancer",
    "collate",
    "digits",
    "export",
    "fingerprint",
    "imbalanced_split",
    "item_hashes",
    "load",
    "merge",
    "prior_correct",
    "prior_shift",
    "read_audio_folder",
    "read_audio_manifest",
    "read_coco",
    "read_decisions",
    "read_dicom",
    "read_folder",
    "read_hub",
    "read_manifest",
    "read_nifti",
    "read_table",
    "read_table_like",
    "read_tar",
    "read_text",
    "read_tokens",
    "resample",
    "spoken",
    "transactions",
    "vowels",
    "wine",
    "write_table",
]
