"""Readers: from what users have on disk to data sets of dicts."""

from torchaug.data.readers.base import FileDataset, Selection
from torchaug.data.readers.folder import ImageFolderDataset, read_folder
from torchaug.data.readers.load import load

__all__ = ["FileDataset", "ImageFolderDataset", "Selection", "load", "read_folder"]
