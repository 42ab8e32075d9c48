from __future__ import annotations

import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from torchaug import Compose
from torchaug.cli import main, values
from torchaug.cli.main import COMMANDS
from torchaug.data import Bank
from torchaug.image import RandomHorizontalFlip
from torchaug.serial import to_json
from torchaug.training import study

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def pictures(folder: str, counts: dict[str, int], side: int = 8) -> Path:
    """A folder of grey noise, a folder for each class."""
    noise = torch.Generator().manual_seed(0)
    for name, count in counts.items():
        (Path(folder) / name).mkdir(parents=True)
        for number in range(count):
            pixels = torch.randint(256, (side, side), generator=noise, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(Path(folder) / name / f"{number:02}.png")
    return Path(folder)


def error_of(capsys: Capture) -> str:
    """What went to stderr: one line that says who speaks."""
    text = capsys.readouterr().err
    assert text.startswith("torchaug: ")
    assert text.count("\n") == 1
    assert "Traceback" not in text
    return text


@pytest.fixture
def generator(capsys: Capture) -> Path:
    pictures("photos", {"cat": 6, "dog": 3})
    assert main(["fit", "vae", "--data", "photos", "--steps", "2"]) == 0
    capsys.readouterr()
    return Path("generator/generator.ckpt")


@pytest.mark.parametrize("argv", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_short_and_fits_the_screen(argv: list[str], capsys: Capture) -> None:
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 100


def test_the_first_help_names_every_command(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"    {command} " in text for command in COMMANDS)
    assert main([]) == 2
    assert "COMMAND" in capsys.readouterr().err
    assert main(["--version"]) == 0


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("dmeo", "invalid choice: 'dmeo'"),
        ("demo --seeds 0", "--seeds: expected a whole number of at least 1, got '0'"),
        ("demo --seeds two", "got 'two'"),
        ("demo --minutes -1", "--minutes: expected a number of minutes above 0"),
        ("demo --minutes inf", "--minutes: expected a number of minutes above 0"),
        ("demo --size 8x", "--size: expected pixels"),
        ("demo --size 0", "--size: expected pixels"),
        ("demo --seconds 0", "--seconds: expected a number of seconds above 0, got '0'"),
        ("demo --seconds 1", "--seconds is not for images"),
        ("demo --modality audio --size 8", "--size is not for sounds"),
        (
            "demo --modality audio --data digits",
            "expected sounds (a folder of them, vowels or spoken_digits), got digits",
        ),
        ("demo --modality table --seconds 1", "--seconds for sounds; leave them out with --modality table"),
        ("demo --modality audio --rare y", "some of the classes a, e, i, o, u, got 'y'"),
        ("demo --data vowels", "expected images, got the sounds vowels"),
        ("demo --rare 3,,4", "--rare: expected class names"),
        ("demo --rare 3,eleven", "some of the classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, got 'eleven'"),
        ("demo --rare 0,1,2,3,4,5,6,7,8,9", "got all of them"),
        (
            "demo --data nowhere",
            "a named set (digits, breast_cancer, wine, transactions, vowels, spoken_digits) or module:attribute of a data set, got 'nowhere'",
        ),
        ("bench-loader", "required: --data"),
        ("bench-loader --data nowhere", "expected an existing folder"),
        ("bench-loader --data digits --workers 1,x", "--workers: expected whole numbers with commas between"),
        ("bench-loader --data digits --seconds 0", "--seconds: expected a whole number of at least 1"),
        ("bench-loader --data digits --device tpu7", "--device must be one that is here, got 'tpu7'"),
        ("bench-loader --data digits --transform blur", "--transform must be a recipe (simclr, "),
        ("bench-loader --data digits --transform no.json", "No such file or directory: 'no.json'"),
        ("bench-loader --data digits --step resnet19", "--step must be a classifier of torchvision"),
        ("bench-loader --data digits --step os:nothing", "bench-loader: module 'os' has no attribute 'nothing'"),
        ("bench-loader --data wine --transform simclr", "the recipe simclr is for images, and the data have none"),
        ("demo extra", "unrecognized arguments: extra"),
        ("demo --out words.txt", "--out must be a folder, got words.txt, and words.txt is a file"),
        ("demo --modality table --out words.txt/x", "got words.txt/x, and words.txt is a file; name another --out"),
        ("fit vae --data digits --out words.txt", "--out must be a folder, got words.txt"),
        ("fit vae --data digits --config words.txt", "--config: expected a YAML of options, got 'not a checkpoint'"),
        ("fit", "expected a kind (vae, gan, table-diffusion,"),
        ("fit vae", "required: --data"),
        ("fit cat --data digits", "invalid choice: 'cat' (choose from"),
        ("fit vae --data empty", "got no folder in empty"),
        ("fit vae --data single", "at least 2 classes, got 1 (cat)"),
        ("fit vae --data hollow", "got no image"),
        ("fit vae --data mixed", "images must have one size"),
        ("fit vae --data broken_labels:data", "got 7 at index 1"),
        ("fit vae --data broken_labels:nothing", "no attribute 'nothing'"),
        ("demo --data lone", "got 1 of class 'dog'"),
        ("demo --label kind", "--label is not for images; leave it out"),
        ("demo --quick --minutes 2", "expected --quick or --minutes, got both"),
        (
            "demo --modality table --data digits --label kind",
            "--label names a column of a table (.csv, .tsv, .parquet)",
        ),
        ("synthesize --checkpoint c", "expected one of --counts, --per-class and --top-up"),
        ("synthesize --checkpoint c --per-class 3 --counts a=1", "expected one of --counts, --per-class and --top-up"),
        ("synthesize --checkpoint c --per-class 3 --top-up sqrt", "expected one of --counts, --per-class and --top-up"),
        ("synthesize --checkpoint c --top-up sqrt", "--top-up needs --data, the real data"),
        ("synthesize --checkpoint c --per-class 3 --data digits", "--top-up needs --data, the real data"),
        ("synthesize --checkpoint c --counts a=x", "--counts: expected CLASS=N"),
        ("synthesize --checkpoint c --counts a=-1", "--counts: expected CLASS=N"),
        ("synthesize --checkpoint c --counts a=1,b=2,a=3", "each name once, got 'a' twice"),
        ("synthesize --checkpoint c --per-class 3 --out words.txt", "--out must be a folder, got words.txt"),
        (
            "synthesize --checkpoint c --per-class 3 --shard-size 0",
            "--shard-size: expected a whole number of at least 1",
        ),
        (
            "synthesize --checkpoint c --per-class 3 --batch-size 0",
            "--batch-size: expected a whole number of at least 1",
        ),
        ("synthesize --checkpoint c --per-class 3 --part 4/4", "--part: expected R/W, part R from 0 to W - 1"),
        ("synthesize --checkpoint c --per-class 3 --part 1", "--part: expected R/W, part R from 0 to W - 1"),
        ("synthesize --checkpoint c --per-class 3 --part -1/2", "--part"),
        ("synthesize --checkpoint nowhere.ckpt --per-class 3", "expected a checkpoint at nowhere.ckpt"),
        ("synthesize --checkpoint words.txt --per-class 3", "words.txt"),
        ("synthesize --checkpoint other.ckpt --per-class 3", "other.ckpt"),
        ("synthesize --checkpoint table.csv --per-class 3", "expected a torchaug checkpoint in table.csv"),
    ],
)
def test_misuse_is_one_clear_line_and_exit_code_2(command: str, words: str, capsys: Capture) -> None:
    Path("empty").mkdir()
    pictures("single", {"cat": 2})
    pictures("lone", {"cat": 2, "dog": 1})
    pictures("hollow", {"cat": 2, "dog": 0})
    pictures("mixed", {"cat": 2, "dog": 2})
    Image.new("L", (9, 9)).save("mixed/cat/odd.png")
    Path("broken_labels.py").write_text(
        "import torch\n"
        "class Data:\n"
        "    classes = ['a', 'b']\n"
        "    def __len__(self): return 2\n"
        "    def __getitem__(self, i): return torch.zeros(1, 8, 8), 7 * i\n"
        "data = Data()\n"
    )
    Path("words.txt").write_text("not a checkpoint")
    Path("table.csv").write_text("age,pay,job,label\n20,1000.5,smith,ok\n")
    torch.save({"state_dict": {"head.weight": torch.zeros(2)}}, "other.ckpt")
    assert main(command.split()) == 2
    assert words in error_of(capsys)
    assert not Path("generator").exists()
    assert not Path("bank").exists()
    sys.modules.pop("broken_labels", None)


def test_an_unreadable_image_is_named_and_is_a_failure(capsys: Capture) -> None:
    pictures("photos", {"cat": 2, "dog": 2})
    Path("photos/dog/torn.png").write_bytes(Path("photos/dog/00.png").read_bytes()[:40])
    assert main(["fit", "vae", "--data", "photos"]) == 1
    assert str(Path("photos/dog/torn.png")) in error_of(capsys)


def test_images_of_mixed_sizes_are_accepted_with_a_size(capsys: Capture) -> None:
    pictures("photos", {"cat": 3, "dog": 3})
    Image.new("RGB", (9, 12)).save("photos/cat/odd.png")
    assert main(["fit", "vae", "--data", "photos", "--size", "8x10", "--steps", "1"]) == 0
    assert "8 x 10 pixels, 3 channels" in capsys.readouterr().out


def test_a_gan_is_trained_and_sampled_too(capsys: Capture) -> None:
    pictures("photos", {"cat": 6, "dog": 3})
    assert main(["fit", "gan", "--data", "photos", "--steps", "2"]) == 0
    assert main(["synthesize", "--checkpoint", "generator/generator.ckpt", "--per-class", "2"]) == 0
    assert Bank("bank").in_memory().labels.tolist() == [0, 0, 1, 1]


def test_the_printed_next_command_runs(capsys: Capture) -> None:
    pictures("photos", {"cat": 6, "dog": 3})
    assert main(["fit", "vae", "--data", "photos", "--steps", "2", "--out", "my [generator]"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    words = shlex.split(line)
    assert words[:2] == ["torchaug", "synthesize"]
    assert main(words[1:]) == 0
    assert len(Bank("bank")) == 200
    assert "200 samples in bank" in capsys.readouterr().out


def test_a_bank_gets_the_counts_that_were_asked_for(generator: Path, capsys: Capture) -> None:
    assert main(["synthesize", "--checkpoint", str(generator), "--counts", "dog=5, cat=2"]) == 0
    bank = Bank("bank")
    assert [bank.classes[label] for label in bank.in_memory().labels.tolist()].count("dog") == 5
    assert len(bank) == 7


def test_a_folder_of_other_files_does_not_become_a_bank(generator: Path, capsys: Capture) -> None:
    before = sorted(Path("photos").rglob("*"))
    assert main(["synthesize", "--checkpoint", str(generator), "--per-class", "1", "--out", "photos"]) == 2
    assert "but no manifest.json: it is no bank; write to another folder" in error_of(capsys)
    assert sorted(Path("photos").rglob("*")) == before
    Path("empty").mkdir()
    Path("empty/.hidden").touch()
    assert main(["synthesize", "--checkpoint", str(generator), "--per-class", "1", "--out", "empty"]) == 0


def test_an_unknown_class_is_refused_with_the_known_ones(generator: Path, capsys: Capture) -> None:
    assert main(["synthesize", "--checkpoint", str(generator), "--counts", "owl=5"]) == 2
    assert "(cat, dog), got 'owl'" in error_of(capsys)
    assert not Path("bank").exists()


def test_classes_are_topped_up_from_the_real_data(generator: Path, capsys: Capture) -> None:
    command = ["synthesize", "--checkpoint", str(generator), "--data", "photos", "--out"]
    for strategy, counts in (("balance", {"dog": 3}), ("ratio:0.7", {"dog": 1}), ("sqrt", {"dog": 1})):
        assert main([*command, strategy, "--top-up", strategy]) == 0
        assert {name: count for name, count in Bank(strategy).counts().items() if count} == counts  # 6 cats, 3 dogs
        assert f"prior_correct(scores, TopUp({strategy!r}).prior_shift(your_data))" in capsys.readouterr().out


def test_a_top_up_that_cannot_be_is_one_line(generator: Path, capsys: Capture) -> None:
    pictures("owls", {"cat": 2, "owl": 1})
    Path("table.csv").write_text("size,kind\n1,cat\n2,dog\n3,cat\n")
    for options, words in (
        ("--data photos --top-up ratio:0.5", "--top-up ratio:0.5 has nothing to add to photos (cat 6, dog 3)"),
        ("--data photos --top-up ratio:2", "'ratio:R' with R in (0, 1], got 'ratio:2'"),
        ("--data photos --top-up even", "got 'even'"),
        ("--data owls --top-up balance", "expected a class the generator knows (cat, dog), got 'owl'"),
        ("--data nowhere --top-up balance", "expected an existing folder"),
        ("--data photos --label kind --top-up balance", "--label names a column of a table"),
        ("--data table.csv --label none --top-up balance", "expected samples with labels, got table.csv"),
    ):
        assert main(["synthesize", "--checkpoint", str(generator), *options.split()]) == 2
        assert words in error_of(capsys)
        assert not Path("bank").exists()
    options = "--data table.csv --label kind --top-up balance"
    assert main(["synthesize", "--checkpoint", str(generator), *options.split()]) == 0
    assert len(Bank("bank")) == 1


def test_a_device_that_is_not_there_is_refused(generator: Path, capsys: Capture) -> None:
    command = ["synthesize", "--checkpoint", str(generator), "--per-class", "3", "--device"]
    for name, words in (("gpu", "device must be auto, cpu, cuda or cuda:N, got 'gpu'"), ("cuda:99", "got 'cuda:99'")):
        assert main([*command, name]) == 2
        assert words in error_of(capsys)
    assert not Path("bank").exists()


def test_ranks_that_make_no_sense_are_refused(
    generator: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    command = ["synthesize", "--checkpoint", str(generator), "--per-class", "3"]
    assert main(command) == 2
    assert "expected RANK in [0, WORLD_SIZE)" in error_of(capsys)
    assert main([*command, "--part", "0/1"]) == 0
    assert len(Bank("bank")) == 6


def test_a_rerun_keeps_the_bank_and_another_plan_leaves_it_alone(generator: Path, capsys: Capture) -> None:
    command = ["synthesize", "--checkpoint", str(generator), "--per-class", "3"]
    assert main(command) == 0
    before = {path.name: path.read_bytes() for path in Path("bank").iterdir()}
    assert main(command) == 0
    capsys.readouterr()
    assert main([*command, "--seed", "1"]) == 2
    assert "write to another folder" in error_of(capsys)
    assert {path.name: path.read_bytes() for path in Path("bank").iterdir()} == before


def test_a_trained_generator_is_not_overwritten_unasked(generator: Path, capsys: Capture) -> None:
    before = generator.read_bytes()
    assert main(["fit", "vae", "--data", "photos", "--steps", "2"]) == 2
    assert "--resume" in error_of(capsys)
    assert generator.read_bytes() == before
    assert main(["fit", "vae", "--data", "photos", "--steps", "3", "--resume"]) == 0
    assert generator.read_bytes() != before


def test_a_full_disk_is_said_and_a_rerun_completes(
    generator: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["synthesize", "--checkpoint", str(generator), "--per-class", "3"]

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("torchaug.data.files.os.fsync", full)
        assert main(command) == 1
    text = error_of(capsys)
    assert "No space left" in text
    assert "run the same command again" in text
    assert main(command) == 0
    assert len(Bank("bank")) == 6


def interrupting(monkeypatch: pytest.MonkeyPatch, place: str, error: BaseException) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(place, stop)


def test_ctrl_c_says_what_is_kept(generator: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupting(monkeypatch, "torchaug.training.synthesize.synthesize", KeyboardInterrupt())
    assert main(["synthesize", "--checkpoint", str(generator), "--per-class", "3"]) == 130
    assert "finished shards in bank are kept" in error_of(capsys)
    interrupting(monkeypatch, "torchaug.training.fit.fit", KeyboardInterrupt())
    assert main(["fit", "vae", "--data", "photos", "--resume"]) == 130
    assert "generator.ckpt is kept, go on from it with --resume" in error_of(capsys)
    assert main(["fit", "vae", "--data", "photos", "--out", "new"]) == 130
    assert "too early for a checkpoint" in error_of(capsys)


def test_ctrl_c_in_a_training_keeps_a_checkpoint_to_go_on_from(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures("photos", {"cat": 6, "dog": 3})
    command = ["fit", "vae", "--data", "photos", "--steps", "12"]

    def pressing(_: Any, text: str) -> Callable[..., None]:
        return lambda *_: signal.raise_signal(signal.SIGINT) if text == at else None

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr("torchaug.cli.progress.Lines", pressing)
            at = "reading"
            assert main(command) == 130
            assert error_of(capsys) == "torchaug: interrupted; nothing was written\n"
            at = "training"
            assert main(command) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert f"interrupted; {Path('generator/generator.ckpt')} is kept, go on from it with --resume" in error_of(capsys)
    assert torch.load("generator/generator.ckpt", weights_only=True)["global_step"] == 10
    assert main([*command, "--resume"]) == 0


def test_an_error_nobody_foresaw_is_one_line_and_debug_shows_it(
    generator: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupting(monkeypatch, "torchaug.training.synthesize.synthesize", RuntimeError("out of\nluck"))
    command = ["synthesize", "--checkpoint", str(generator), "--per-class", "3"]
    assert main(command) == 1
    assert error_of(capsys) == "torchaug: RuntimeError: out of luck; --debug shows where\n"
    with pytest.raises(RuntimeError, match="luck"):
        main([*command, "--debug"])


@pytest.fixture
def fast_study(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The study as it is, with a few steps and in this process; returns what it was called with."""
    original: Callable[..., Any] = study.run_study
    asked: dict[str, Any] = {}

    def few_steps(provider: Any, **options: Any) -> Any:
        asked.update(options)
        few: dict[str, Any] = {"steps": 3, "generator_steps": 2, "shown": 2, "surplus": 1, "batch_size": 16}
        recipe = replace(study.recipe_for(provider(0)[0]), **few)
        return original(provider, **{**options, "recipe": recipe, "workers": 1, "seconds": None})

    monkeypatch.setattr(study, "run_study", few_steps)
    return asked


def test_the_demo_prints_a_table_and_writes_report_and_numbers(fast_study: dict[str, Any], capsys: Capture) -> None:
    assert main(["demo", "--seeds", "2"]) == 0
    text = capsys.readouterr().out
    results = json.loads(Path("demo/results.json").read_text())
    assert [name for name in results["arms"] if name in text] == [arm.name for arm in study.ARMS]
    assert set(results["arms"]["real"]["rare_recall"]) == {"mean", "low", "high", "values"}
    assert results["seeds"] == [0, 1]
    assert results["rare"] == ["3", "7", "8"]
    assert results["train_counts"] == [80, 80, 80, 5, 80, 80, 80, 5, 5, 80]
    assert results["seconds"] > 0
    assert "The time allowed 3 of the usual" in text
    assert "The time allowed 3 of the usual" in Path("demo/report.html").read_text()
    assert text.splitlines()[-1] == "  torchaug demo --data FOLDER"
    assert Path("demo/report.html").read_text().startswith("<!DOCTYPE html>")


def test_the_demo_studies_a_folder_and_finds_its_rare_classes(fast_study: dict[str, Any], capsys: Capture) -> None:
    pictures("my photos", {"ant": 9, "bee": 9, "[owl]": 4})
    command = ["demo", "--data", "my photos", "--seeds", "1", "--size", "8", "--out", "found"]
    assert main(command) == 0
    text = capsys.readouterr().out
    results = json.loads(Path("found/results.json").read_text())
    assert results["rare"] == ["[owl]"]
    assert sum(results["train_counts"]) + sum(results["test_counts"]) == 22
    assert "rare classes: [owl]" in text
    assert "torchaug fit vae --data 'my photos'" in text
    assert main([*command, "--rare", "bee"]) == 0
    assert json.loads(Path("found/results.json").read_text())["rare"] == ["bee"]


def hums(folder: str, counts: dict[str, int], rate: int = 44100) -> None:
    """A folder of tones of half a second to a second and a half, a pitch for each class."""
    for number, (name, count) in enumerate(counts.items()):
        Path(folder, name).mkdir(parents=True)
        for i in range(count):
            time = np.arange(int((0.5 + i / count) * rate)) / rate
            tone = 0.5 * np.sin(2 * np.pi * (300 + 400 * number + 5 * i) * time)
            soundfile.write(Path(folder, name, f"{i}.wav"), tone, rate)


def test_the_demo_studies_made_up_vowels(fast_study: dict[str, Any], capsys: Capture) -> None:
    assert main(["demo", "--modality", "audio", "--seeds", "1", "--seconds", "0.1"]) == 0
    text = capsys.readouterr().out
    results = json.loads(Path("demo/results.json").read_text())
    assert [name for name in results["arms"] if name in text] == [arm.name for arm in study.ARMS]
    assert (results["data"], results["rare"], results["train_counts"]) == ("vowels", ["e", "u"], [60, 8, 60, 60, 8])
    assert results["test_counts"] == [80] * 5
    assert "vowels: 800 sounds of 5 classes, up to 0.1 seconds at 8000 Hz" in text
    assert "the draw of training sounds and the training itself" in text
    assert "The time allowed 3 of the usual" in text
    assert text.splitlines()[-1] == "  torchaug demo --modality audio --data FOLDER"
    assert Path("demo/report.html").read_text().count("<audio ") == 3 * 4 + 2 * 4


def test_the_demo_studies_a_folder_of_sounds(fast_study: dict[str, Any], capsys: Capture) -> None:
    hums("my hums", {"low": 6, "mid": 6, "high": 3})
    command = ["demo", "--modality", "audio", "--data", "my hums", "--seeds", "1", "--out", "found"]
    assert main([*command, "--seconds", "0.2"]) == 0
    text = capsys.readouterr().out
    results = json.loads(Path("found/results.json").read_text())
    assert results["rare"] == ["high"]
    assert sum(results["train_counts"]) + sum(results["test_counts"]) == 15
    assert "of each sound 0.2 s are read, at 16000 Hz" in text
    assert "15 sounds of 3 classes, up to 0.2 seconds at 16000 Hz" in text
    assert text.splitlines()[-1] == "  torchaug fit audio --data 'my hums' --out generator"


def test_the_demo_speaks_only_where_there_is_a_program(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["demo", "--modality", "audio", "--data", "spoken_digits"]) == 2
    assert "needs the program espeak-ng" in error_of(capsys)
    hums("flat/nested", {"one": 2})
    Path("flat/one.wav").write_bytes(Path("flat/nested/one/0.wav").read_bytes())
    assert main(["demo", "--modality", "audio", "--data", "flat/nested/one"]) == 2
    assert "expected samples with labels, got none" in error_of(capsys)


def test_quick_and_minutes_bound_the_time(fast_study: dict[str, Any]) -> None:
    assert main(["demo", "--seeds", "1", "--minutes", "2"]) == 0
    assert 90 < fast_study["seconds"] <= 120
    assert main(["demo", "--seeds", "1", "--quick"]) == 0
    assert 30 < fast_study["seconds"] <= 60


def test_an_interrupted_demo_leaves_the_last_one_alone(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("demo").mkdir()
    Path("demo/report.html").write_text("the last one")
    interrupting(monkeypatch, "torchaug.training.study.run_study", KeyboardInterrupt())
    assert main(["demo"]) == 130
    assert "what demo held before is unchanged" in error_of(capsys)
    assert Path("demo/report.html").read_text() == "the last one"


def test_the_installed_command_exits_without_a_traceback() -> None:
    command = str(Path(sys.executable).parent / "torchaug")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    argv = [command, "fit", "vae", "--data", "nowhere"]
    answer = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr.startswith("torchaug: load: expected an existing folder")
    assert answer.stderr.count("\n") == 1


@given(st.dictionaries(st.text('abc =,"', min_size=1).filter(str.strip), st.integers(0, 10**6), min_size=1))
def test_counts_of_any_class_name_are_read(counts: dict[str, int]) -> None:
    stripped = {name.strip(): count for name, count in counts.items()}
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([f"{name}={count}" for name, count in stripped.items()])
    assert values.counts(line.getvalue()) == stripped
    assert values.counts(line.getvalue().replace(",", ", ")) == stripped or any("," in name for name in stripped)
    assert values.counts(stripped) == stripped


def test_a_loader_is_measured_and_a_way_to_load_recommended(capsys: Capture) -> None:
    Path("steps.py").write_text("import time\n\ndef train(batch):\n    time.sleep(0.1)\n")
    assert main(["bench-loader", "--data", "digits", "--workers", "0", "--seconds", "1", "--step", "steps:train"]) == 0
    text = capsys.readouterr().out
    for stage in ("decode", "collate", "copy", "transform", "step"):
        assert f"  {stage} " in text
    assert "bottleneck: step, " in text
    line = text.splitlines()[-1].strip()
    assert line == 'DeviceLoader(DataLoader(data, batch_size=64, num_workers=0), transform, where="device", depth=2)'


@pytest.mark.parametrize("transform", ["simclr", "none", "chain.json", "dino"])
def test_a_loader_is_measured_with_any_transform_and_a_network(transform: str, capsys: Capture) -> None:
    Path("chain.json").write_text(to_json(Compose([RandomHorizontalFlip()])))
    for path in pictures("photos", {"cat": 6, "dog": 3}, side=32).rglob("*.png"):
        Image.open(path).convert("RGB").save(path)
    command = f"bench-loader --data photos --workers 0 --seconds 1 --batch-size 4 --transform {transform}"
    state = torch.get_rng_state()
    assert main(command.split()) == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert "recommended: " in capsys.readouterr().out
