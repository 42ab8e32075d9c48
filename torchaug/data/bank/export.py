"""A bank as what other programs read: folders of files, Parquet or webdataset tars."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torchaug.data.bank.format import Json
from torchaug.data.bank.media import facts, parts, provenance, samples
from torchaug.data.bank.parquet import write_parquet
from torchaug.data.bank.reader import Bank
from torchaug.data.bank.tables import bank_table, is_table
from torchaug.data.bank.webdataset import write_webdataset
from torchaug.data.files import locked
from torchaug.data.table_files import write_table

Progress = Callable[[int, int], None]
KINDS = ("folder", "parquet", "csv", "webdataset")
SAMPLES, ABOUT = "samples.csv", "bank.json"
FIELDS = ("file", "label", "id", "row", "generator", "quality")


def export(
    bank: Bank, path: str | Path, to: str = "folder", *, per_file: int = 1000, progress: Progress | None = None
) -> Path:
    """Writes the samples of a bank, without the dropped ones, into a new folder, which is there whole or not at all.

    - "folder": a folder for each class, or none without classes, with files called by row: `00000012.png` of images,
      `.wav` (32-bit float) of waveforms, `.txt` of texts, `.NAME.npy` or `.NAME.txt` of other columns. Beside them
      `samples.csv` (file, label, id, row, generator, quality, perhaps group) and `bank.json` (what made the bank).
    - "parquet": `part-00000.parquet`, ... with a column for each column of the bank: images and sounds as Hugging Face's
      `{"bytes", "path"}` of PNG and WAV, texts as strings, a table as a column for each of its own, named by
      `bank.attributes["columns"]`, others as bytes of a NumPy file. Then label and group (their names), id, row, generator, quality.
      What made the bank is in the file's metadata, "torchaug". The bank of a `TableDataset` becomes the original columns
      and nothing else: numbers with their decimals, categories as text, missing values as null, the label under its own
      header; what is known of each row is in `_samples.csv`, which readers of a folder of Parquet files leave out.
    - "csv": such a table as `table.csv`, beside `samples.csv` and `bank.json`.
    - "webdataset": `bank-00000.tar`, ... of files as in a folder, called by row, with a `.cls` (number of the class) and a
      `.json` (label, group, id, row, generator, seed, quality) each. The same bank gives the same bytes. `bank.json` is
      beside them.

    What is written before a kill is in `path.partial`, and is begun anew when it is run again.

    Args:
        bank: to export.
        path: of the new folder.
        to: "folder", "parquet", "csv" or "webdataset".
        per_file: samples in a Parquet file or a tar, the last one excepted.
        progress: called with (samples done, samples in all).

    Returns:
        The path.

    Raises:
        FileExistsError: there is something already.
        ValueError: a bank with something that cannot be exported so.
        ImportError: Parquet, or the CSV of a table, without pyarrow.

    >>> import tempfile, torch
    >>> from torchaug.data import BankWriter
    >>> folder = Path(tempfile.mkdtemp())
    >>> with BankWriter(folder / "bank", config={}, trained_on=None, generator="3f", classes=["cat"]) as writer:
    ...     images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    ...     _ = writer.write(0, {"image": images}, torch.tensor([0, 0]), torch.arange(2))
    >>> files = export(Bank(folder / "bank"), folder / "images")
    >>> sorted(str(file.relative_to(files)) for file in files.rglob("*.*"))
    ['bank.json', 'cat/00000000.png', 'cat/00000001.png', 'samples.csv']
    """
    path, done = Path(path), 0
    if to not in KINDS or per_file < 1:
        raise ValueError(
            f"export: to must be one of {', '.join(KINDS)} and per_file at least 1, got {to!r} and {per_file}"
        )

    def report(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, len(bank))

    with _whole(path) as folder:
        if to == "parquet":
            write_parquet(bank, folder, per_file, report)
            if is_table(bank):
                _write_samples(bank, folder / f"_{SAMPLES}")
        else:
            about = json.dumps(provenance(bank), indent=1) + "\n"
            (folder / ABOUT).write_text(about, encoding="utf-8")
            if to == "webdataset":
                write_webdataset(bank, folder, per_file, report)
            elif to == "csv":
                write_table(bank_table(bank), folder / "table.csv")
                _write_samples(bank, folder / SAMPLES)
                report(len(bank))
            else:
                _write_folder(bank, folder, report)
    return path


def _write_folder(bank: Bank, folder: Path, report: Callable[[int], None]) -> None:
    if not {"image", "waveform", "text"} & bank.columns.keys():
        raise ValueError(
            f"export: expected images, waveforms or texts to make files of, got the columns {', '.join(bank.columns)} in "
            f"{bank.path}; export tables with to='parquet' or 'csv'"
        )
    for name in bank.classes:
        if not name or name in (".", "..", SAMPLES, ABOUT) or any(sign in name for sign in '/\\:*?"<>|\0'):
            raise ValueError(
                f"export: names of classes must be names of folders, got {name!r} in {bank.path}; use to='parquet' or "
                "'webdataset'"
            )
        (folder / name).mkdir()
    with _samples(bank, folder / SAMPLES, FIELDS) as table:
        for _, indices in parts(bank, len(bank)):
            for about, files in samples(bank, indices):
                table.writerow(about | {"file": _write_sample(folder, about, files)})
            report(len(indices))


def _write_samples(bank: Bank, path: Path) -> None:
    """What is known of each row of a table, in their order."""
    with _samples(bank, path, FIELDS[1:]) as table:
        table.writerows(facts(bank, index) for index in range(len(bank)))


@contextmanager
def _samples(bank: Bank, path: Path, fields: Sequence[str]) -> Iterator[csv.DictWriter[str]]:
    with open(path, "w", newline="", encoding="utf-8") as file:
        there = fields if bank.groups is None else (*fields, "group")
        table = csv.DictWriter(file, there, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        yield table


def _write_sample(folder: Path, about: Json, files: dict[str, bytes]) -> str:
    """The name of the sample's first file."""
    name = f"{about['row']:08d}" if about["label"] is None else f"{about['label']}/{about['row']:08d}"
    for ending, data in files.items():
        (folder / f"{name}.{ending}").write_bytes(data)
    return f"{name}.{next(iter(files))}"


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A folder that gets its name when all of it is written.

    The lock tells a partial folder that a kill left behind from one that somebody else made.
    """
    partial, lock = (path.with_name(path.name + ending) for ending in (".partial", ".lock"))
    path.parent.mkdir(parents=True, exist_ok=True)
    if partial.exists() and not lock.exists():
        raise FileExistsError(f"export: expected nothing at {partial}, got something that no export left; move it away")
    with locked(lock):
        try:
            if path.exists():
                raise FileExistsError(f"export: expected nothing at {path}, got something; name another folder")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            yield partial
            if hasattr(os, "sync"):
                os.sync()  # all of it to the disk, at once: file by file, many small ones take a hundred times as long
            os.rename(partial, path)
        except OSError as error:
            if error.filename is None and error.errno is not None:
                raise OSError(
                    error.errno, f"export: cannot write {path}: {error.strerror}; nothing is there"
                ) from error
            raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            lock.unlink(missing_ok=True)
