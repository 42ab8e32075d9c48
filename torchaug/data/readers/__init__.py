"""Readers: from what users have on disk to data sets of dicts."""

from torchaug.data.readers.audio import AudioDataset, read_audio_folder, read_audio_manifest
from torchaug.data.readers.base import FileDataset, Selection
from torchaug.data.readers.coco import CocoDataset, read_coco
from torchaug.data.readers.dicom import read_dicom
from torchaug.data.readers.folder import ImageFolderDataset, read_folder
from torchaug.data.readers.hub import read_hub
from torchaug.data.readers.like import read_table_like
from torchaug.data.readers.load import load
from torchaug.data.readers.manifest import read_manifest
from torchaug.data.readers.nifti import read_nifti
from torchaug.data.readers.table import read_table
from torchaug.data.readers.tar import read_tar
from torchaug.data.readers.text import read_text, read_tokens

__all__ = [
    "AudioDataset",
    "CocoDataset",
    "FileDataset",
    "ImageFolderDataset",
    "Selection",
    "load",
    "read_audio_folder",
    "read_audio_manifest",
    "read_coco",
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
]
