"""torchaug verify, drop, merge and export: what they do, and what they answer to wrong arguments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from test_bank import fill
from test_cli import Capture, error_of, pictures

from torchaug.cli import main
from torchaug.data import Bank, BankWriter


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize("command", ["verify", "drop", "merge", "export"])
def test_help_is_short_and_fits_the_screen(command: str, capsys: Capture) -> None:
    assert main([command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 100
    assert main(["--help"]) == 0
    assert f"    {command} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("verify", "required: --data"),
        ("verify --data nowhere", "expected an existing folder"),
        ("verify --data bank --workers -1", "--workers: expected a whole number of at least 0"),
        ("drop --bank bank", "either --decisions or --rows"),
        ("drop --bank bank --rows 1 --decisions d.json --reason x", "either --decisions or --rows"),
        ("drop --bank bank --rows 1", "expected a --reason"),
        ("drop --bank bank --rows one --reason x", "--rows: expected a whole number of at least 0, got 'one'"),
        ("drop --bank bank --rows 1 40 --reason x", "must be rows of bank that were not dropped, got 40"),
        ("drop --bank bank --decisions none.json", "expected a file of decisions at none.json"),
        ("drop --bank bank --decisions other.json", "expected decisions on the bank"),
        ("drop --bank nowhere --rows 1 --reason x", "expected a bank"),
        ("merge --out both", "required: --banks"),
        ("merge --banks bank nowhere --out both", "expected a bank"),
        ("merge --banks bank grey --out both", "columns must be those of bank"),
        ("merge --banks bank --out bank", "holds a bank with another"),
        ("export --bank bank --out there", "there is already there; name another --out"),
        ("export --bank bank --to zip --out new", "--to: invalid choice: 'zip' (choose from"),
        ("export --bank bank --out new --per-file 0", "--per-file: expected a whole number of at least 1"),
        ("export --bank words --out new --to folder", "export tables with to='parquet'"),
        ("export --bank nowhere --out new", "expected a bank"),
    ],
)
def test_misuse_is_one_clear_line_and_exit_code_2(command: str, words: str, capsys: Capture) -> None:
    fill(Path("bank"))
    with BankWriter("grey", config={}, trained_on=None, generator="g", classes=["cat"]) as writer:
        writer.write(0, {"image": torch.zeros(1, 1, 8, 8, dtype=torch.uint8)}, torch.tensor([0]), torch.arange(1))
    with BankWriter("words", config={}, trained_on=None, generator="g", classes=[]) as writer:
        writer.write(0, {"table": torch.zeros(1, 2)}, None, torch.arange(1))
    review = {"format": "torchaug-review", "version": 1, "bank": "ab", "reviewer": "x", "date": "y", "decisions": {}}
    Path("other.json").write_text(json.dumps(review))
    Path("there").mkdir()
    assert main(command.split()) == 2
    assert words in error_of(capsys)
    assert not list(Path().glob("new*")) + list(Path().glob("both*"))
    assert len(Bank("bank")) == 40


def test_a_bank_is_thinned_out_merged_and_exported(capsys: Capture) -> None:
    fill(Path("bank"))
    assert main(["drop", "--bank", "bank", "--rows", "0", "15", "39", "--reason", "blurred"]) == 0
    assert "3 samples were dropped, 37 are left in bank" in capsys.readouterr().out
    assert main(["drop", "--bank", "bank", "--rows", "15", "--reason", "again"]) == 2
    assert "got 15" in error_of(capsys)
    review = {"format": "torchaug-review", "version": 1, "bank": Bank("bank").identity, "reviewer": "A", "date": "B"}
    Path("decisions.json").write_text(json.dumps(review | {"decisions": {"15": "reject", "16": "reject", "2": "keep"}}))
    assert main(["drop", "--bank", "bank", "--decisions", "decisions.json"]) == 0
    assert "1 samples were dropped, 36 are left" in capsys.readouterr().out
    assert main(["merge", "--banks", "bank", "bank", "--out", "both"]) == 0
    assert "72 samples in both, of 2 banks" in capsys.readouterr().out
    assert len(Bank("both")) == 72
    assert main(["drop", "--bank", "bank", "--rows", "20", "38", "--reason", "late"]) == 0
    assert sorted({*range(40)} - {*Bank("bank").rows.tolist()}) == [0, 15, 16, 20, 38, 39]
    capsys.readouterr()
    assert main(["export", "--bank", "both", "--out", "pictures"]) == 0
    assert "72 samples in pictures" in capsys.readouterr().out
    assert len(list(Path("pictures").rglob("*.png"))) == 72
    assert main(["export", "--bank", "both", "--to", "webdataset", "--out", "tars", "--per-file", "50"]) == 0
    assert len(list(Path("tars").glob("*.tar"))) == 2
    assert main(["export", "--bank", "both", "--to", "parquet", "--out", "table"]) == 0
    assert main(["verify", "--data", "pictures"]) == 0
    assert "all of pictures can be read" in capsys.readouterr().out


@pytest.mark.parametrize("workers", ["0", "2"])
def test_every_bad_file_of_a_bank_is_listed(workers: str, capsys: Capture) -> None:
    fill(Path("bank"))
    command = ["verify", "--data", "bank", "--workers", workers]
    assert main(command) == 0
    assert "all of bank can be read" in capsys.readouterr().out
    data = bytearray(Path("bank/shard-000001.safetensors").read_bytes())
    data[-1] ^= 1
    Path("bank/shard-000001.safetensors").write_bytes(data)
    Path("bank/shard-000003.safetensors").unlink()
    assert main(command) == 1
    said = capsys.readouterr()
    assert said.err == "torchaug: verify: 2 bad in bank\n"
    assert "shard-000001.safetensors differs from what was written" in said.out
    assert "shard-000003.safetensors is missing" in said.out


def test_an_unfinished_bank_and_one_without_a_manifest_are_bad(capsys: Capture) -> None:
    fill(Path("bank"), shards=3, samples=40)
    assert main(["verify", "--data", "bank"]) == 1
    said = capsys.readouterr()
    assert "expected a finished bank in bank, got 30 of 40 samples" in said.out
    Path("bank/manifest.json").unlink()
    assert main(["verify", "--data", "bank"]) == 1
    assert "expected a bank (a folder with manifest.json) at bank, got none" in capsys.readouterr().out


@pytest.mark.parametrize("workers", ["0", "1"])
def test_every_unreadable_image_is_listed(workers: str, capsys: Capture) -> None:
    pictures("photos", {"cat": 4, "dog": 4})
    assert main(["verify", "--data", "photos"]) == 0
    for name in ("cat/01.png", "dog/03.png"):
        Path("photos", name).write_bytes(Path("photos", name).read_bytes()[:50])
    capsys.readouterr()
    assert main(["verify", "--data", "photos", "--workers", workers]) == 1
    said = capsys.readouterr()
    assert said.err == "torchaug: verify: 2 bad in photos\n"
    assert [line.partition(":")[0] for line in said.out.splitlines() if "sample" in line] == [
        str(Path("photos", name)) for name in ("cat/01.png", "dog/03.png")
    ]
    assert main(["verify", "--data", "digits"]) == 0
