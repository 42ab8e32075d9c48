from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

import torchaug.audio
import torchaug.image
import torchaug.tabular
import torchaug.volume
from torchaug.compose import Container
from torchaug.transform import Alone, Folding

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def run(page: Path) -> int:
    """The number of python blocks of `page`, all of them run in one namespace."""
    examples = list(Sybil(parsers=[PythonCodeBlockParser()]).parse(page))
    for example in examples:
        example.evaluate()
    return len(examples)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_the_docs_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(page)


def test_code_that_fails_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")
    with pytest.raises(AssertionError):
        run(page)


def test_all_blocks_of_a_page_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n\ntext\n\n```python\nx + 1\n```\n")
    assert run(page) == 2


CATALOGUE = (ROOT / "docs" / "transforms.md").read_text()
IMAGES, AFTER = CATALOGUE.split("\n## Volumes\n")
VOLUMES, AFTER = AFTER.split("\n## Tables\n")
TABLES, REST = AFTER.split("\n## Containers\n")
PARTS = [(torchaug.image, IMAGES + REST), (torchaug.volume, VOLUMES), (torchaug.tabular, TABLES)]
ROW = re.compile(
    r"^\| `(?P<name>\w+)(\((?P<arguments>.*?)\))?` \|.*\| (?P<often>[^|]*) \| (?P<folds>[^|]*) \| [^|]* \|$",
    re.MULTILINE,
)
ROWS = [(module, row) for module, text in PARTS for row in ROW.finditer(text)]
KINDS = {"geometry": "Geometric", "pixels": "Pixels", "colour": "Color", "values": "Intensity"}
ARGUMENTS = {
    **dict.fromkeys(["size", "height", "width", "max_size", "padding", "num_classes", "bits", "num_samples"], 4),
    **dict.fromkeys(["degrees", "shear", "saturation_factor", "sharpness_factor", "threshold"], 0.5),
    "min_size": 2,
    "num_masks_x": 1,
    "quality": 50,
    "mean": [0.5],
    "std": [0.5],
    "translate": (0.1, 0.1),
    "target_size": (8, 8),
    "dtype": torch.float32,
    "format": "XYWH",
    "clamping_mode": None,
    "width": 3,
    "numeric": 2,
    "fill": (0.0, 0.0),
    "transformation_matrix": torch.eye(3),
    "mean_vector": torch.zeros(3),
}
"""Something for each argument that a constructor cannot do without."""


@pytest.mark.parametrize(("module", "text"), PARTS, ids=["image", "volume", "tabular"])
def test_the_catalogue_has_every_public_name(module: ModuleType, text: str) -> None:
    assert [name for name in module.__all__ if not re.search(rf"`[\w.]*\b{name}\b", text)] == []


@pytest.mark.parametrize(("module", "row"), ROWS, ids=[f"{module.__name__}.{row['name']}" for module, row in ROWS])
def test_the_catalogue_says_what_the_classes_do(module: ModuleType, row: re.Match[str]) -> None:
    kind = getattr(module, row["name"])
    parameters = inspect.signature(kind).parameters
    named = (row["arguments"] or "").removesuffix(", ...").split(", ")
    assert set(named) - {""} <= set(parameters)
    needed = [name for name, p in parameters.items() if p.default is p.empty or name == "num_masks_x"]
    transform = kind(**{name: ARGUMENTS[name] for name in needed})
    often = min(leaf.differentiable for leaf in transform.leaves())
    if isinstance(transform, Container):
        assert (row["often"], row["folds"]) == ("twice" if often == 2 else "in part", "its steps do")
        return
    assert row["often"].split(";")[0] == {0: "no", 1: "once", 2: "twice"}[often]
    if row["folds"] == "no":
        assert isinstance(transform.run(Folding()), Alone) or transform.guided
        return
    assert isinstance(transform, getattr(module, KINDS[row["folds"]]))
    assert not isinstance(transform.run(Folding()), Alone)
    assert row["folds"] != "pixels" or not isinstance(transform, torchaug.image.Color)


def test_all_rows_of_the_catalogue_are_checked() -> None:
    rows = re.findall(r"^\| `\w+[(`].*\| (?:twice|once|no|in part)\b.*$", CATALOGUE, re.MULTILINE)
    assert len(rows) == len(ROWS)


SOUNDS = (ROOT / "docs" / "audio.md").read_text()
SOUND_ROW = re.compile(r"^\| `(?P<name>\w+)` \| .* \| (?P<moves>yes)? ?\| (?P<often>[a-z ]+) \|$", re.MULTILINE)


def test_the_page_on_sounds_has_every_public_name() -> None:
    assert [name for name in torchaug.audio.__all__ if not re.search(rf"`[\w.]*\b{name}\b", SOUNDS)] == []


@pytest.mark.parametrize("row", list(SOUND_ROW.finditer(SOUNDS)), ids=lambda row: row["name"])
def test_the_page_on_sounds_says_what_the_classes_do(row: re.Match[str]) -> None:
    kind = getattr(torchaug.audio, row["name"])
    frames = row["name"] in ("Spectrogram", "MelSpectrogram")  # whose labels are rescaled, not moved
    assert bool(row["moves"]) == (hasattr(kind, "timeline") and not frames)
    times = {0: "no", 1: "once", 2: "twice"}[kind.differentiable]
    assert row["often"] == ("straight through" if getattr(kind, "straight_through", False) else times)


def test_the_page_on_sounds_has_a_row_for_every_transform() -> None:
    kinds = {name for name in torchaug.audio.__all__ if inspect.isclass(getattr(torchaug.audio, name))}
    final = {name for name in kinds if not inspect.isabstract(getattr(torchaug.audio, name))} - {"TimeMap", "SoundBank"}
    assert final == {row["name"] for row in SOUND_ROW.finditer(SOUNDS)}
