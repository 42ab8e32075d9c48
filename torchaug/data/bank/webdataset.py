"""A bank as tars in the form of webdataset: the files of a sample share their name, up to the first dot."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

from torchaug.data.bank.media import parts, samples
from torchaug.data.bank.reader import Bank


def write_webdataset(bank: Bank, folder: Path, per_file: int, report: Callable[[int], None]) -> None:
    """Writes `bank-00000.tar`, ...

    Args:
        bank: to write.
        folder: that gets the tars.
        per_file: samples in a tar.
        report: called with the number of samples that were just written.
    """
    for number, group in groupby(parts(bank, per_file), key=lambda part: part[0]):
        with tarfile.open(folder / f"bank-{number:05d}.tar", "w", format=tarfile.GNU_FORMAT) as tar:
            for _, indices in group:
                for about, files in samples(bank, indices):
                    if bank.labels is not None:
                        files |= {"cls": str(bank.classes.index(about["label"])).encode()}
                    files |= {"json": (json.dumps(about) + "\n").encode()}
                    for ending, data in files.items():
                        _add(tar, f"{about['row']:08d}.{ending}", data)
                report(len(indices))


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)  # of nobody, in 1970: the same bytes whoever writes them when
    entry.size, entry.mode = len(data), 0o644
    tar.addfile(entry, io.BytesIO(data))
