"""torchaug fit KIND: its options, its YAML, tables and sounds, and several processes."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tarfile
import wave
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import yaml
from pyarrow import parquet
from torch.utils.data import DataLoader

from torchaug import Compose
from torchaug.audio import PolarityInversion
from torchaug.cli import main
from torchaug.cli.fit_arguments import KINDS, SHORT, TRAINER
from torchaug.data import Bank, DeviceLoader, MixedDataset, MixedSampler, Source, collate, read_audio_folder
from torchaug.training.load import KINDS as CLASSES
from torchaug.training.load import load_generator

Capture = pytest.CaptureFixture[str]
FILE = Path("generator/generator.ckpt")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def error_of(capsys: Capture) -> str:
    """What went to stderr: one line that says who speaks."""
    text = capsys.readouterr().err
    assert text.startswith("torchaug: ")
    assert text.count("\n") == 1
    return text


def people(path: str, count: int = 60, label: str = "label") -> None:
    """A table of an age, a job and, in one of four rows, fraud."""
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["age", "pay", "job", label])
        for row in range(count):
            table.writerow(
                [
                    20 + row % 37,
                    1000.5 + 13 * (row % 23),
                    ("cook", "smith")[row % 3 == 0],
                    "fraud" if row % 4 == 3 else "ok",
                ]
            )


def hyper(path: Path = FILE) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(path, weights_only=True)["hyper_parameters"]
    return found


def test_the_kinds_of_the_command_line_are_all_there_are() -> None:
    assert list(KINDS) == list(CLASSES)
    assert set(SHORT.values()) <= set(KINDS)


@pytest.mark.parametrize("kind", [*KINDS, *SHORT])
def test_the_help_of_every_kind_fits_the_screen(kind: str, capsys: Capture) -> None:
    assert main(["fit", kind, "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    assert len(text.splitlines()) <= 50
    assert "learning_rate" in text
    assert "accumulate_grad_batches" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--model.latent six", "--model.latent: expected a whole number or null, got six"),
        ("--model.likelihood cauchy", "--model.likelihood: expected 'binomial', 'bernoulli'"),
        ("--model.wings 2", "unrecognized arguments: --model.wings 2"),
        ("--trainer.max_steps 2", "unrecognized arguments: --trainer.max_steps 2"),
        ("--trainer.precision 12", "--trainer.precision: expected"),
        ("--trainer.devices two", "should be an int > 0"),
        ("--steps 0", "--steps: expected a whole number of at least 1"),
        ("--holdout 1", "--holdout: expected a share from 0 to below 1, got '1'"),
        ("--steps 3 --minutes 1", "expected --steps or --minutes, got both"),
        ("--config nowhere.yaml", "nowhere.yaml"),
        ("--config broken.yaml", "--config: expected a whole number of at least 1, got 'many'"),
        ("--config unknown.yaml", "wings"),
        ("--label fraud", "--label names a column of a table (.csv, .tsv, .parquet), got digits; leave it out"),
        ("--size 4", "--size: expected pixels from 8 to 256"),
        ("--size 8x300", "--size: expected pixels from 8 to 256"),
        ("--epsilon 0", "--epsilon: expected a number above 0, got '0'"),
        ("--epsilon 8 --delta 1", "delta in (0, 1), got 8.0, 1.0 and 1.0"),
        ("--delta 1e-6", "--delta is for differential privacy; pass --epsilon too"),
        ("--max-norm 2", "--max-norm is for differential privacy; pass --epsilon too"),
        ("--epsilon 8 --minutes 1", "with --epsilon expected --steps, since the noise depends on them, got --minutes"),
        ("--epsilon 8 --holdout 0.1", "with privacy expected holdout=0"),
        ("--epsilon 8 --augment default --steps 1", "with privacy expected no augment"),
        ("--epsilon 8 --trainer.precision bf16-mixed --steps 1", "with privacy expected precision 32-true"),
        ("--epsilon 8 --trainer.devices 2", "with privacy expected one process"),
        ("--epsilon 8 --batch-size 2000", "batch_size must be at most the 1797 rows"),
        ("--epsilon 8 --bounds age=0:120", "unrecognized arguments: --bounds"),
        ("--trainer.accumulate_grad_batches 2 --data digits", None),
    ],
)
def test_what_is_wrong_is_said_in_one_line(options: str, words: str | None, capsys: Capture) -> None:
    Path("broken.yaml").write_text("steps: many\n")
    Path("unknown.yaml").write_text("model:\n  wings: 2\n")
    code = main(["fit", "vae", "--data", "digits", *options.split(), *(["--steps", "1"] if words is None else [])])
    if words is None:
        assert code == 0
        return
    assert code == 2
    assert words in error_of(capsys)
    assert not FILE.exists()


@pytest.mark.parametrize("setting", ["width 0", "blocks -1", "given_share 2", "latent 0", "beta -1"])
def test_a_setting_that_cannot_be_is_misuse(setting: str, capsys: Capture) -> None:
    name, value = setting.split()
    assert main(["fit", "table-vae", "--data", "wine", "--steps", "1", f"--model.{name}", value]) == 2
    assert f"LitTableVAE: {name} must be a " in error_of(capsys)
    assert not FILE.exists()


def test_a_kind_that_does_not_fit_the_data_is_refused(capsys: Capture) -> None:
    people("people.csv")
    assert main(["fit", "vae", "--data", "people.csv"]) == 2
    assert "expected labelled images, got a TableDataset" in error_of(capsys)
    assert main(["fit", "table", "--data", "digits"]) == 2
    assert "expected a TableDataset, got a TensorImages" in error_of(capsys)
    assert main(["fit", "gan", "--data", "digits", "--trainer.accumulate_grad_batches", "2"]) == 2
    assert "expected a larger batch_size" in error_of(capsys)


def test_options_reach_the_model_and_the_trainer(capsys: Capture) -> None:
    options = ["--model.latent", "5", "--model.beta", "0.5", "--trainer.precision", "bf16-mixed", "--batch-size", "16"]
    command = ["fit", "vae", "--data", "digits", "--steps", "3", *options]
    assert main([*command, "--trainer.accumulate_grad_batches", "2"]) == 0
    found = hyper()
    assert (found["latent"], found["beta"], found["steps"], found["levels"]) == (5, 0.5, 3, 17)
    assert "training: 3 of 3, loss" in capsys.readouterr().out
    assert torch.load(FILE, weights_only=True)["state_dict"]["ema.seen"] == 3 * 2 * 16


def test_a_printed_configuration_trains_the_same_generator(capsys: Capture) -> None:
    command = ["fit", "vae", "--data", "digits", "--steps", "2", "--model.latent", "5", "--seed", "3"]
    assert main([*command, "--print_config"]) == 0
    text = capsys.readouterr().out
    printed = yaml.safe_load(text)
    assert (printed["steps"], printed["model"]["latent"], printed["trainer"]["precision"]) == (2, 5, None)
    assert set(printed["trainer"]) == set(TRAINER)
    assert not Path("generator").exists()
    Path("x.yaml").write_text(text)
    assert main(command) == 0
    assert main(["fit", "vae", "--config", "x.yaml", "--out", "other"]) == 0
    one, other = (torch.load(path, weights_only=True)["state_dict"] for path in (FILE, Path("other/generator.ckpt")))
    assert all(torch.equal(one[name], value) for name, value in other.items())
    assert main(["fit", "vae", "--config", "x.yaml", "--out", "third", "--model.latent", "6"]) == 0
    assert hyper(Path("third/generator.ckpt"))["latent"] == 6


def test_a_logger_is_one_of_lightnings(capsys: Capture) -> None:
    logger = ["--trainer.logger", "lightning.pytorch.loggers.CSVLogger", "--trainer.logger.save_dir", "logs"]
    steps = ["--steps", "4", "--trainer.log_every_n_steps", "1"]
    assert main(["fit", "vae", "--data", "digits", *steps, *logger]) == 0
    (found,) = Path("logs").rglob("metrics.csv")
    with found.open() as file:
        rows = list(csv.DictReader(file))
    assert {"loss", "monitor/c2st", "monitor/nearest_neighbour_ratio"} <= set(rows[0])


# Tables


@pytest.mark.parametrize("kind", ["table", "table-vae", "table-gan"])
def test_a_table_goes_from_a_csv_to_a_bank_with_the_asked_counts(kind: str, capsys: Capture) -> None:
    people("people.csv", label="verdict")
    assert main(["fit", kind, "--data", "people.csv"]) == 2
    assert "--label" in error_of(capsys)
    command = ["fit", kind, "--data", "people.csv", "--label", "verdict", "--steps", "4", "--holdout", "0.2"]
    assert main([*command, "--model.width", "16"]) == 0
    text = capsys.readouterr().out
    assert "60 rows of 2 classes, 3 columns; kind table-" in text
    assert hyper()["width"] == 16
    with next(Path("generator").glob("samples-*.csv")).open() as file:
        assert {row["verdict"] for row in csv.DictReader(file)} == {"fraud", "ok"}
    make = ["synthesize", "--checkpoint", str(FILE), "--counts", "fraud=7,ok=2", "--given", "job=cook"]
    assert main(make) == 0
    bank = Bank("bank")
    assert bank.counts() == {"fraud": 7, "ok": 2}
    assert main(["export", "--bank", "bank", "--to", "csv", "--out", "made.csv"]) == 0
    found = next(path for path in Path("made.csv").rglob("*.csv") if path.name != "samples.csv")
    with found.open() as file:
        assert {row["job"] for row in csv.DictReader(file)} == {"cook"}
    assert main([*make[:-1], "job=judge", "--out", "other"]) == 2
    assert "judge" in error_of(capsys)


def test_a_table_without_labels_and_a_parquet(capsys: Capture) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    people("people.csv")
    pyarrow.parquet.write_table(pyarrow.csv.read_csv("people.csv").drop(["label"]), "people.parquet")
    assert main(["fit", "table-vae", "--data", "people.parquet", "--label", "none", "--steps", "3"]) == 0
    assert "60 rows without classes, 3 columns" in capsys.readouterr().out
    assert main(["synthesize", "--checkpoint", str(FILE), "--per-class", "3"]) == 2
    assert "knows no classes; pass --counts N" in error_of(capsys)
    assert main(["synthesize", "--checkpoint", str(FILE), "--counts", "11"]) == 0
    assert len(Bank("bank")) == 11


def test_a_named_table_and_the_other_ways_to_ask(capsys: Capture) -> None:
    assert main(["fit", "table-vae", "--data", "breast_cancer", "--steps", "3"]) == 0
    assert main(["synthesize", "--checkpoint", str(FILE), "--counts", "11"]) == 2
    assert "expected --counts of classes (malignant, benign), got 11" in error_of(capsys)
    for setting, words in (("wings=2", "got wings"), ("steps=many", "--set or --given do not fit")):
        assert main(["synthesize", "--checkpoint", str(FILE), "--per-class", "3", "--set", setting]) == 2
        assert words in error_of(capsys)
    assert not Path("bank").exists()  # it would ask for the same setting again


def test_any_value_of_a_column_can_be_asked_for(capsys: Capture) -> None:
    with open("odd.csv", "w") as file:
        rows = ['0,true,"Bath, UK",a=b,3', "1,false,York,c,1", "0,true,York,c,1", '1,,"Bath, UK",,1'] * 10
        file.write("zero,flag,town,x=y,label\n" + "\n".join(rows))
    command = ["fit", "table-vae", "--data", "odd.csv", "--steps", "2", "--model.width", "16"]
    assert main(command) == 0
    asked = [("zero=1", "zero", "1"), ("flag=true", "flag", "true"), ("flag=", "flag", ""), ("x=y=a=b", "x=y", "a=b")]
    for place, (given, column, value) in enumerate([*asked, ('"town=Bath, UK"', "town", "Bath, UK")]):
        make = ["synthesize", "--checkpoint", str(FILE), "--counts", "1=3", "--given", given, "--out", f"b{place}"]
        assert main(make) == 0, given
        made = Bank(f"b{place}").in_memory()
        found = next(each for each in made.columns if each.name == column)
        code = made.categorical[:, list(made.columns).index(found) - made.numeric.shape[1]]
        assert {found.categories[each] or "" for each in code.tolist()} == {value}
    capsys.readouterr()
    for given, words in (("town=Bath, UK", "got ' UK'"), ("city=x", "expected COLUMN=VALUE of the columns zero,")):
        assert main([*make[:-3], given, "--out", "b9"]) == 2
        assert words in error_of(capsys)
    assert main([*make[:-3], "zero=2", "--out", "b9"]) == 2
    assert "'zero' must be one of '0', '1', got '2'" in error_of(capsys)


def test_columns_are_left_out_and_read_as_asked_and_of_a_top_up_only_the_classes_are_read(capsys: Capture) -> None:
    with open("claims.csv", "w") as file:
        file.write('id,"free, text",grade,year,when,label\n')
        file.writelines(
            f"A{n},words {n},{n % 3},{1990 + n % 5}.0,2024-05-31,{'rare' if n % 20 == 0 else 'ok'}\n"
            for n in range(1200)
        )
    command = ["fit", "table-vae", "--data", "claims.csv", "--steps", "3"]
    assert main(command) == 2
    assert "column 'id': expected at most 1000 categories, got 1200 in 1200 rows" in (text := error_of(capsys))
    assert "pass it in drop= (--drop)" in text
    chosen = ["--drop", 'id,"free, text"', "--numeric", "grade", "--categorical", "year"]
    assert main([*command, *chosen]) == 0
    assert "note: column 'when': all values are 2024-05-31" in capsys.readouterr().out
    columns = load_generator(FILE).attributes["table"]["columns"]
    assert {each["name"]: each["kind"] for each in columns} == {
        "grade": "numeric",
        "when": "numeric",
        "year": "categorical",
    }
    assert main(["synthesize", "--checkpoint", str(FILE), "--top-up", "ratio:0.1", "--data", "claims.csv"]) == 0
    assert Bank("bank").counts() == {"ok": 0, "rare": 54}
    for wrong, words in (
        (["--drop", "id,"], "expected names of columns with commas between"),
        (["--drop", "ids"], "expected a column 'ids' for drop=, got 'id', 'free, text'"),
        (["--drop", "id", "--numeric", "id"], "expected each column in one place, got 'id' in numeric= and drop="),
    ):
        assert main([*command, "--resume", *wrong]) == 2
        assert words in error_of(capsys)
    assert main(["fit", "table-vae", "--data", "wine", "--drop", "ash"]) == 2
    assert "--drop names a column of a table (.csv, .tsv, .parquet), got wine" in error_of(capsys)


def test_a_class_without_rows_is_left_out_of_every_class(capsys: Capture) -> None:
    with open("grades.csv", "w") as file:
        file.write("size,label\n" + "".join(f"{n * 1.5},{1 + n % 2}\n" for n in range(20)))
    assert main(["fit", "table-vae", "--data", "grades.csv", "--steps", "2"]) == 0
    assert main(["synthesize", "--checkpoint", str(FILE), "--per-class", "3"]) == 0
    assert "note: left out are classes that the training data had no sample of: 0" in capsys.readouterr().out
    assert Bank("bank").counts() == {"0": 0, "1": 3, "2": 3}
    assert main(["synthesize", "--checkpoint", str(FILE), "--counts", "0=3", "--out", "other"]) == 2
    assert "trained on (1, 2), got '0', of which the training data had no sample" in error_of(capsys)


def test_ten_rows_of_one_class_are_trained_on(capsys: Capture) -> None:
    with open("few.csv", "w") as file:
        file.write("size,label\n" + "".join(f"{n * 1.5},ok\n" for n in range(10)))
    assert main(["fit", "table", "--data", "few.csv", "--steps", "3"]) == 0
    assert main(["synthesize", "--checkpoint", str(FILE), "--counts", "ok=4"]) == 0
    assert len(Bank("bank")) == 4


@pytest.mark.parametrize("command", ["table --data people.csv", "table-vae --data wine", "audio --data sounds:data"])
def test_a_size_is_for_images_alone(command: str, capsys: Capture) -> None:
    people("people.csv")
    Path("sounds.py").write_text("from torchaug.data import vowels\n\ndef data():\n    return vowels(6)\n")
    assert main(["fit", *command.split(), "--size", "16"]) == 2
    text = error_of(capsys)
    assert "size" in text
    assert "is for images" in text
    assert not FILE.exists()
    sys.modules.pop("sounds", None)


def test_a_named_set_of_images_gets_the_size_that_was_asked_for(capsys: Capture) -> None:
    assert main(["fit", "vae", "--data", "digits", "--size", "12x10", "--steps", "1"]) == 0
    assert "1797 images of 10 classes, 12 x 10 pixels, 1 channel" in capsys.readouterr().out
    assert list(hyper()["shape"]) == [1, 12, 10]


# Differential privacy


def test_a_training_with_privacy_says_its_cost_and_so_does_the_bank(capsys: Capture) -> None:
    command = ["fit", "vae", "--data", "digits", "--steps", "3", "--batch-size", "32", "--model.latent", "3"]
    private = ["--epsilon", "8", "--delta", "1e-6", "--max-norm", "0.5"]
    assert main([*command, *private]) == 0
    text = capsys.readouterr().out
    card = torch.load(FILE, weights_only=True)["torchaug"]["privacy"]
    assert (card["target"], card["delta"], card["max_norm"], card["steps"]) == (8.0, 1e-6, 0.5, 3)
    assert 7.5 < card["epsilon"] <= 8.0
    assert f"differential privacy of rows: epsilon {card['epsilon']:.4g} at delta 1e-06" in text
    assert main(["synthesize", "--checkpoint", str(FILE), "--per-class", "1"]) == 0
    assert Bank("bank").manifest["made_by"][0]["config"]["privacy"] == card
    for to in ("folder", "webdataset", "parquet"):
        assert main(["export", "--bank", "bank", "--to", to, "--out", to]) == 0
    metadata = parquet.read_schema("parquet/part-00000.parquet").metadata[b"torchaug"]
    for about in (Path("folder/bank.json").read_text(), Path("webdataset/bank.json").read_text(), metadata):
        assert json.loads(about)["manifest"]["made_by"][0]["config"]["privacy"] == card
    with tarfile.open("webdataset/bank-00000.tar") as tar:
        of_samples = [
            json.load(tar.extractfile(name) or io.BytesIO()) for name in tar.getnames() if name.endswith("json")
        ]
    assert [each["epsilon"] for each in of_samples] == [card["epsilon"]] * 10
    capsys.readouterr()
    for other in ([], ["--epsilon", "7", "--delta", "1e-6", "--max-norm", "0.5"]):
        assert main([*command, *other, "--resume"]) == 2
        assert "was trained with privacy" in error_of(capsys)


def test_a_table_is_private_with_bounds_of_its_numbers(capsys: Capture) -> None:
    people("people.csv")
    command = ["fit", "table", "--data", "people.csv", "--steps", "2", "--batch-size", "16", "--epsilon", "8"]
    bounds = "--bounds=age=0:120,pay=-5e1:9000"
    for wrong, words in (
        ([], "expected bounds of age, pay"),
        (["--bounds", "age=0:120"], "expected bounds of age, pay"),
        (["--bounds", "age=120:0,pay=0:1"], "lower before upper"),
        (["--bounds", "age=0-120"], "--bounds: expected COLUMN=LOW:HIGH with commas between"),
    ):
        assert main([*command, *wrong]) == 2
        assert words in error_of(capsys)
    assert main([*command[:-2], bounds]) == 2
    assert "--bounds is for differential privacy" in error_of(capsys)
    assert main([*command[:1], "table-gan", *command[2:]]) == 2
    assert "kind with privacy must be one of vae, gan, table-vae, table-diffusion" in error_of(capsys)
    assert main([*command, bounds, "--print_config"]) == 0
    Path("x.yaml").write_text(capsys.readouterr().out)
    assert main(["fit", "table", "--config", "x.yaml"]) == 0
    columns = {column.name: (column.low, column.high) for column in load_generator(FILE).sample(2).columns}
    assert (columns["age"], columns["pay"]) == ((0.0, 120.0), (-50.0, 9000.0))


def test_a_private_gan_is_not_augmented_unasked() -> None:
    assert main(["fit", "gan", "--data", "digits", "--steps", "1", "--batch-size", "4", "--epsilon", "8"]) == 0


# Sounds


def tones(folder: str) -> None:
    """A folder of tones, eight of each of two pitches."""
    for name, hertz in (("high", 900), ("low", 200)):
        Path(folder, name).mkdir(parents=True)
        for number in range(8):
            time = torch.arange(4000) / 8000
            tone = (torch.sin(6.2832 * (hertz + 9 * number) * time) * 20000).to(torch.int16)
            with wave.open(f"{folder}/{name}/{number}.wav", "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(tone.numpy().tobytes())


def test_sounds_go_from_a_folder_to_a_mixture(capsys: Capture) -> None:
    tones("sounds")
    assert main(["fit", "audio", "--data", "sounds", "--steps", "2", "--holdout", "0.5"]) == 0
    assert "16 sounds of 2 classes, up to 0.5 seconds at 8000 Hz; kind audio-vae" in capsys.readouterr().out
    assert {path.suffix for path in Path("generator").glob("samples-*")} == {".png", ".wav"}
    assert main(["synthesize", "--checkpoint", str(FILE), "--counts", "high=3,low=1"]) == 0
    bank = Bank("bank")
    assert bank.columns.keys() == {"waveform"}
    assert bank.counts() == {"high": 3, "low": 1}
    assert main(["export", "--bank", "bank", "--out", "wavs"]) == 0
    files = sorted(Path("wavs").rglob("*.wav"))
    assert [path.parent.name for path in files] == ["high"] * 3 + ["low"]
    heard = [soundfile.read(path, dtype="float32") for path in files]
    assert {rate for _, rate in heard} == {8000}
    assert {sound.tobytes() for sound, _ in heard} == {bank[i]["waveform"].numpy().tobytes() for i in range(4)}
    real = read_audio_folder("sounds")
    mixed = MixedDataset([Source.real(real), Source.bank(bank)])
    sampler = MixedSampler(mixed, 0.5, batch_size=8, steps_per_epoch=3, seed=0)
    augment = Compose([PolarityInversion(p=1.0)])
    loader = DeviceLoader(DataLoader(mixed, batch_size=8, sampler=sampler, collate_fn=collate), augment, device="cpu")
    for batch in loader:
        assert batch["waveform"].shape == (8, 1, 4000)
        assert int(batch["is_synthetic"].sum()) == 4
        for sound, index in zip(batch["waveform"], batch["id"].tolist(), strict=True):
            assert torch.equal(sound, -mixed[index]["waveform"])


def test_what_augments_a_training_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("torchaug.training.fit.fit", lambda *_, **options: seen.append(options["augment"]))
    tones("sounds")
    Path("chain.yaml").write_text("version: 1\ntransform: Compose\ntransforms:\n- {transform: PolarityInversion}\n")
    for kind, data, names in (("audio", "sounds", ("none", "default", "chain.yaml")), ("gan", "digits", ("none",))):
        for name in names:
            assert main(["fit", kind, "--data", data, "--augment", name]) == 0
        assert main(["fit", kind, "--data", data]) == 0
    none, default, chain, unasked, no_gan, gan = seen
    assert none is unasked is no_gan is None
    assert isinstance(default, Compose)
    assert [leaf.takes for leaf in default.leaves()] == ["waveform"] * len(default.leaves())
    assert [type(leaf).__name__ for leaf in chain.leaves()] == ["PolarityInversion"]
    assert [leaf.takes for leaf in gan.leaves()] == ["image"] * len(gan.leaves())
    capsys.readouterr()
    for name, words in (("loud", "--augment must be default, none or a .json"), ("no.json", "no.json")):
        assert main(["fit", "audio", "--data", "sounds", "--augment", name]) == 2
        assert words in error_of(capsys)
    assert main(["fit", "table", "--data", "breast_cancer", "--augment", "none"]) == 2


# What goes wrong on the way


def test_a_loss_that_diverges_is_a_failure_that_names_it(capsys: Capture) -> None:
    command = ["fit", "gan", "--data", "digits", "--steps", "40", "--model.learning_rate", "1e30"]
    assert main(command) == 1
    text = error_of(capsys)
    assert "not finite at step" in text
    assert "learning_rate" in text


def test_an_alarm_is_said_and_is_no_failure(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: Any, **options: Any) -> None:
        import warnings

        options["progress"](30, 100, {"loss": 1.0})
        warnings.warn("fit: stopped early: copying since step 10", stacklevel=1)

    monkeypatch.setattr("torchaug.training.fit.fit", fit)
    assert main(["fit", "vae", "--data", "digits"]) == 0
    text = capsys.readouterr().out
    assert "note: fit: stopped early: copying since step 10" in text
    assert "the training ended at step 30 of 100" in text


def test_a_checkpoint_of_another_version_is_refused(capsys: Capture) -> None:
    assert main(["fit", "vae", "--data", "digits", "--steps", "1"]) == 0
    checkpoint = torch.load(FILE, weights_only=True)
    for version, words in ((99, "update torchaug"), (1, "train")):
        checkpoint["torchaug"]["format"] = version
        torch.save(checkpoint, FILE)
        capsys.readouterr()
        assert main(["synthesize", "--checkpoint", str(FILE), "--per-class", "1"]) == 2
        text = error_of(capsys)
        assert f"found {version}" in text or f"format {version}" in text
        assert words in text
        assert main(["fit", "vae", "--data", "digits", "--steps", "2", "--resume"]) == 2
        assert str(version) in error_of(capsys)


# Several processes


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vae", "gan", "table-diffusion", "table-vae", "table-gan", "audio-vae"])
def test_two_processes_train_every_kind(kind: str, tmp_path: Path) -> None:
    people("people.csv")
    Path("tones.py").write_text("from torchaug.data import vowels\n\ndef data():\n    return vowels(6)\n")
    source = "people.csv" if kind.startswith("table") else "tones:data" if kind.startswith("audio") else "digits"
    strategy = "ddp_find_unused_parameters_true" if kind.endswith("gan") else "ddp"
    command = [sys.executable, "-m", "torchaug", "fit", kind, "--data", source, "--steps", "2", "--batch-size", "4"]
    command += ["--trainer.devices", "2", "--trainer.accelerator", "cpu", "--trainer.strategy", strategy]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISTRIBUTED_DEBUG": "OFF"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("the generator is in") == 1
    assert torch.load(FILE, weights_only=True)["global_step"] == 2
    assert load_generator(FILE).make(torch.zeros(2, dtype=torch.int64), torch.arange(2))
