"""Readers: from what users have on disk to data sets of dicts."""

from torchaug.data.readers.audio import AudioDataset, read_audio_folder, read_audio_manifest
from torchaug.data.readers.base import FileDataset, Selection
from torchaug.data.readers.folder import ImageFolderDataset, read_folder
from torchaug.data.readers.load import load
from torchaug.data.readers.table import read_table
from torchaug.data.readers.text import read_text, read_tokens

__all__ = [
    "AudioDataset",
    "FileDataset",
    "ImageFolderDataset",
    "Selection",
    "load",
    "read_audio_folder",
    "read_audio_manifest",
    "read_folder",
    "read_table",
    "read_text",
    "read_tokens",
]
