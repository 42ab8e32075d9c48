"""Readers: from what users have on disk to data sets of dicts."""

from torchaug.data.readers.base import FileDataset, Selection
from torchaug.data.readers.coco import CocoDataset, read_coco
from torchaug.data.readers.dicom import read_dicom
from torchaug.data.readers.folder import ImageFolderDataset, read_folder
from torchaug.data.readers.hub import read_hub
from torchaug.data.readers.load import load
from torchaug.data.readers.manifest import read_manifest
from torchaug.data.readers.nifti import read_nifti
from torchaug.data.readers.tar import read_tar

__all__ = [
    "CocoDataset",
    "FileDataset",
    "ImageFolderDataset",
    "Selection",
    "load",
    "read_coco",
    "read_dicom",
    "read_folder",
    "read_hub",
    "read_manifest",
    "read_nifti",
    "read_tar",
]
