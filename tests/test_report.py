from __future__ import annotations

import base64
import builtins
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from torchaug.data import TensorImages
from torchaug.evaluate.holdout import holdout, rarest
from torchaug.evaluate.results import IMAGE_METRICS, ArmResult, Difference, Interval, Sheet, StudyResult, Verdict
from torchaug.explore.report import THUMBNAIL, headline, render, thumbnail, verdicts, write_report


def arm(name: str, recall: float, half: float = 0.02) -> ArmResult:
    means = {"accuracy": 0.95, "macro_f1": 0.9, "rare_recall": recall}
    values = {"rare_recall": (recall - half, recall, recall + half)}
    intervals = {metric: Interval(mean, mean - half, mean + half) for metric, mean in means.items()}
    return ArmResult(name, f"how {name} was done", intervals, values)


def difference(name: str, baseline: str, mean: float, verdict: Verdict) -> Difference:
    return Difference(name, baseline, "rare_recall", Interval(mean, mean - 0.03, mean + 0.03), verdict)


def study(**changes: Any) -> StudyResult:
    images = torch.arange(6 * 16, dtype=torch.uint8).view(6, 1, 4, 4)
    result = StudyResult(
        data="digits",
        classes=("cat", "dog", "owl"),
        rare=(2,),
        train_counts=(80, 40, 5),
        test_counts=(20, 20, 20),
        arms=(arm("real", 0.7), arm("real + augmentation", 0.85), arm("real + augmentation + synthetic", 0.86)),
        differences=(
            difference("real + augmentation", "real", 0.15, "helped"),
            difference("real + augmentation + synthetic", "real", 0.16, "helped"),
            difference("real + augmentation + synthetic", "real + augmentation", 0.01, "no measurable difference"),
        ),
        seeds=(0, 1, 2),
        steps=600,
        seconds=12.3,
        sheets={
            "real": Sheet(images, (0, 0, 1, 1, 2, 2)),
            "synthetic": Sheet(images, (0, 0, 1, 1, 2, 2), images.flip(0), (5.0, 4.0, 3.0, 2.0, 1.0, 0.5)),
        },
        versions={"torch": "2.14.1"},
        notes=("The test set is small.",),
    )
    return replace(result, **changes)


class Page(HTMLParser):
    """What a browser would see: the text, the addresses, and whether every tag is closed."""

    VOID = ("meta", "img", "line", "circle", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_caution_comes_before_the_verdicts() -> None:
    plain = study()
    careful = replace(plain, caution="Too few steps to judge by.")
    assert headline(careful).startswith("Too few steps to judge by. ")
    assert headline(plain) == headline(careful).removeprefix("Too few steps to judge by. ")
    assert careful.to_json()["caution"] == "Too few steps to judge by."


def test_the_report_is_whole_html_with_the_numbers_in_it() -> None:
    page = Page(render(study()))
    assert page.open == []
    for words in ("0.850", "(0.830 to 0.870)", "real + augmentation", "owl (rare)", "600", "The test set is small."):
        assert words in page.text


def test_the_report_needs_no_network_and_no_script() -> None:
    html = render(study())
    page = Page(html)
    assert not page.tags & {"script", "link", "iframe", "object", "embed"}
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not re.search(r"https?:|//cdn|@import|url\(", html)


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = write_report(study(), tmp_path / "a.html"), write_report(study(), tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()
    assert write_report(study(seconds=99.0), tmp_path / "c.html").read_bytes() != first.read_bytes()


def test_class_names_cannot_inject_html() -> None:
    evil = '"><script>alert(1)</script>'
    result = study(classes=("cat", "dog", evil), data=evil, notes=(evil,), arms=(arm(evil, 0.7),), differences=())
    page = Page(render(result))
    assert "script" not in page.tags
    assert page.open == []
    assert evil in page.text


def test_thumbnails_hold_the_pixels() -> None:
    def decoded(image: torch.Tensor) -> np.ndarray[Any, Any]:
        data = thumbnail(image).removeprefix("data:image/png;base64,")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))

    color = torch.randint(256, (3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(decoded(color), color.permute(1, 2, 0).numpy())
    assert np.array_equal(decoded(color[:1]), color[0].numpy())
    assert np.array_equal(decoded(torch.cat([color, color])), color.permute(1, 2, 0).numpy())
    assert decoded(torch.zeros(3, 2 * THUMBNAIL, THUMBNAIL, dtype=torch.uint8)).shape == (THUMBNAIL, THUMBNAIL // 2, 3)


def test_pairs_begin_with_the_closest() -> None:
    text = Page(render(study())).text
    places = [text.index(f"· {distance}") for distance in ("0.50", "1.00", "2.00", "5.00")]
    assert places == sorted(places)


def test_the_headline_names_the_best_arm_and_what_synthetic_data_added() -> None:
    text = headline(study())
    assert text.startswith("Rare classes are found best with real + augmentation + synthetic: recall 0.860")
    assert "Added to real + augmentation, synthetic data did not help measurably: +0.010" in text


def test_the_headline_takes_the_baseline_that_balances_the_classes_too() -> None:
    fair = difference("real + augmentation + synthetic", "real + oversampling + augmentation", -0.02, "hurt")
    text = headline(study(differences=(*study().differences, fair)))
    assert "In place of the oversampling in real + oversampling + augmentation, synthetic data hurt: -0.020" in text
    assert "Added to" not in text


def test_the_headline_does_not_praise_a_lead_within_chance() -> None:
    arms = (arm("real", 0.7), arm("real + synthetic", 0.71))
    even = (difference("real + synthetic", "real", 0.01, "no measurable difference"),)
    assert "the lead is not measurable" in headline(study(arms=arms, differences=even))
    worse = (arm("real", 0.7), arm("real + synthetic", 0.6))
    hurt = (difference("real + synthetic", "real", -0.1, "hurt"),)
    text = headline(study(arms=worse, differences=hurt))
    assert text.startswith("Nothing found the rare classes better than real")
    assert "synthetic data hurt: -0.100" in text


def test_each_comparison_gets_its_sentence() -> None:
    assert [text.split(":")[0] for text in verdicts(study())] == [
        "real + augmentation helped against real",
        "real + augmentation + synthetic helped against real",
        "real + augmentation + synthetic made no measurable difference against real + augmentation",
    ]


def test_a_single_seed_shows_no_interval() -> None:
    means = {metric.name: Interval(0.7) for metric in IMAGE_METRICS}
    lone = [ArmResult(name, "", means, {}) for name in ("real", "b")]
    html = render(study(arms=tuple(lone), differences=(), seeds=(0,), sheets={}))
    assert "nan" not in Page(html).text
    assert Page(html).open == []
    json.dumps(study(arms=tuple(lone), differences=()).to_json(), allow_nan=False)


@example([1.0], 0.0)
@example([0.0], 0.0)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.sampled_from([0.0, 0.1, 3.0]))
def test_the_chart_holds_every_dot_and_line(recalls: list[float], half: float) -> None:
    arms = tuple(replace(arm(f"arm {i}", r, half), values={"rare_recall": (r,)}) for i, r in enumerate(recalls))
    html = render(study(arms=arms, sheets={}))
    dots = [float(x) for x in re.findall(r'cx="([^"]+)"', html)]
    ends = [float(x) for x in re.findall(r'class="range" x1="([^"]+)"', html)]
    ticks = [float(x) for x in re.findall(r'class="grid" x1="([^"]+)"', html)]
    assert len(dots) == 2 * len(recalls)
    assert ticks == sorted(set(ticks))
    assert all(ticks[0] <= x <= ticks[-1] for x in (*dots, *ends))


def test_a_missing_jinja_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    original = builtins.__import__

    def fail(name: str, *rest: Any) -> Any:
        if name == "jinja2":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ImportError, match=r"torchaug-synth\[report\]"):
        write_report(study(), tmp_path / "report.html")


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_report(study(), tmp_path / "new" / "report.html")
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_report(study(seconds=99.0), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_json_holds_what_a_reader_of_results_needs() -> None:
    data = json.loads(json.dumps(study().to_json(), allow_nan=False))
    recall = data["arms"]["real + augmentation"]["rare_recall"]
    assert (recall["mean"], recall["values"]) == (0.85, [0.83, 0.85, 0.87])
    assert data["verdicts"]["real + augmentation vs real"] == "helped"
    assert data["differences"]["real + augmentation vs real"]["rare_recall"]["mean"] == 0.15
    assert data["rare"] == ["owl"]
    assert set(data["arms"]["real"]) == {metric.name for metric in IMAGE_METRICS}


def test_results_name_what_they_do_not_have() -> None:
    with pytest.raises(ValueError, match="got 'other'"):
        study().arm("other")
    with pytest.raises(ValueError, match="got 'f2'"):
        study().arms[0].interval("f2")
    assert study().difference("real", "other") is None
    assert study().best().name == "real + augmentation + synthetic"
    assert Interval(math.inf).to_json() == {"mean": None, "low": None, "high": None}


@given(st.lists(st.integers(2, 12), min_size=2, max_size=5), st.floats(0.01, 0.99), st.integers(0, 3))
def test_a_holdout_takes_its_share_of_every_class_and_overlaps_nothing(
    counts: list[int], share: float, seed: int
) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1)  # each image is its own number
    data = TensorImages(images, labels, [str(c) for c in range(len(counts))])
    train, test = holdout(data, seed, share)
    assert sorted([*train.images.flatten().tolist(), *test.images.flatten().tolist()]) == list(range(len(labels)))
    for number, count in enumerate(counts):
        held = int((test.labels == number).sum())
        assert 1 <= held < count
        assert abs(held - share * count) <= 1
    again = holdout(data, seed, share)[1]
    assert torch.equal(again.images, test.images)


def test_a_class_with_one_image_cannot_be_held_out() -> None:
    data = TensorImages(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 0, 1]), ["cat", "dog"])
    with pytest.raises(ValueError, match="got 1 of class 'dog'"):
        holdout(data, 0)
    with pytest.raises(ValueError, match="share must be"):
        holdout(data, 0, share=1.0)


def test_the_rarest_classes_have_half_the_median_or_less() -> None:
    def of(*counts: int) -> list[int]:
        return rarest(torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)), len(counts))

    assert of(80, 5, 80, 40, 80) == [1, 3]
    assert of(10, 9, 10) == [1]
    assert of(7, 7) == [0]
