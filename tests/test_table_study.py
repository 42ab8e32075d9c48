"""A study of a table: the same classifier trained in seven ways, and what a reader is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, brier_score_loss

from torchaug.data import TableDataset, wine
from torchaug.data.transactions import transactions
from torchaug.evaluate.holdout import holdout
from torchaug.evaluate.results import StudyResult
from torchaug.explore.report import headline, render
from torchaug.training.table import LitTableDiffusion
from torchaug.training.table_arms import TABLE_ARMS, features, train_table_arm
from torchaug.training.table_sheets import column_sheets, nearest_rows, row_sheet
from torchaug.training.table_study import check_lacking, check_smote, run_table_study

SPLIT = partial(holdout, transactions(400, share=0.1), share=0.5)
ARM = {arm.name: arm for arm in TABLE_ARMS}


@pytest.fixture(scope="module")
def result() -> StudyResult:
    return run_table_study(SPLIT, rare=[1], seeds=(0, 1), steps=3, data="payments", workers=1)


def test_payments_are_the_same_every_time_and_fraud_is_as_rare_as_asked() -> None:
    first, again, other = transactions(500), transactions(500), transactions(500, seed=1)
    assert torch.equal(first.numeric, again.numeric)
    assert not torch.equal(first.numeric, other.numeric)
    assert first.labels is not None
    assert first.labels.bincount().tolist() == [485, 15]
    assert not first.numeric.isnan().any()
    with pytest.raises(ValueError, match=r"share in \(0, 0.5\], got 500 and 0.6"):
        transactions(500, share=0.6)


def test_every_arm_is_scored_and_compared(result: StudyResult) -> None:
    assert [arm.name for arm in result.arms] == [arm.name for arm in TABLE_ARMS]
    assert all(len(arm.values["average_precision"]) == 2 for arm in result.arms)
    pairs = {(d.arm, d.baseline) for d in result.differences}
    assert {("real + synthetic", "real + SMOTE"), ("real + synthetic", "real")} <= pairs
    assert (result.train_counts, result.unit, result.main) == ((180, 20), "row", "average_precision")
    real, tuned = (result.arm(name).values for name in ("real", "real + threshold tuning"))
    assert real["average_precision"] == tuned["average_precision"]
    assert real["f1"] != tuned["f1"]
    json.dumps(result.to_json(), allow_nan=False)


def test_an_arm_without_more_rows_is_scikit_learns_classifier() -> None:
    train, test = SPLIT(3)
    found = train_table_arm(ARM["real"], train, test, {}, [1], seed=3)
    assert train.labels is not None
    assert test.labels is not None
    model = HistGradientBoostingClassifier(categorical_features=[False] * 5 + [True] * 3, random_state=3)
    model.fit(features(train).numpy(), train.labels.numpy() == 1)
    probability = model.predict_proba(features(test).numpy())[:, 1]
    truth = test.labels.numpy()
    assert found.average_precision == pytest.approx(average_precision_score(truth, probability))
    assert found.brier == pytest.approx(brier_score_loss(truth, probability))


def test_probabilities_of_a_balanced_training_are_corrected() -> None:
    train, test = SPLIT(0)
    weighted = train_table_arm(ARM["real + class weights"], train, test, {}, [1], seed=0)
    assert weighted.brier < 0.1  # uncorrected, a rare class of a tenth is taken for a half


def test_some_synthetic_rows_are_the_first_of_those_that_balance() -> None:
    train, test = SPLIT(0)
    assert train.labels is not None
    rare = train.subset((train.labels == 1).nonzero()[:, 0])
    extra = {"synthetic": rare.subset(torch.arange(160) % len(rare))}
    some = train_table_arm(ARM["real + some synthetic"], train, test, extra, [1], seed=0)
    short = {"synthetic": extra["synthetic"].subset(torch.arange(34))}  # 0.3 * 180 - 20
    assert train_table_arm(ARM["real + some synthetic"], train, test, short, [1], seed=0) == some
    with pytest.raises(IndexError):
        train_table_arm(ARM["real + some synthetic"], train, test, {"synthetic": rare}, [1], seed=0)


@pytest.mark.parametrize("rare", [[], [0, 1], [2]])
def test_rare_classes_must_be_some_of_the_classes(rare: list[int]) -> None:
    with pytest.raises(ValueError, match="expected seeds, arms and some of the 2 classes as rare"):
        run_table_study(SPLIT, rare=rare)


def test_a_rare_class_of_one_row_is_refused_before_anything_is_trained() -> None:
    train, test = SPLIT(0)
    assert train.labels is not None
    lone = train.subset(torch.cat([(train.labels == 0).nonzero()[:, 0], (train.labels == 1).nonzero()[:1, 0]]))
    with pytest.raises(ValueError, match=r"at least 2 rows of each rare class .* SMOTE's .* got 1 of 'yes'"):
        run_table_study(lambda seed: (lone, test), rare=[1])
    without = [arm for arm in TABLE_ARMS if arm.added != "smote"][:2]
    check_smote(lone, [1], without)


def test_an_arm_with_nothing_to_add_is_trained_on_the_real_rows_and_said() -> None:
    result = run_table_study(partial(holdout, wine(), share=0.5), rare=[2], seeds=(0,), steps=2, workers=1)
    assert result.arm("real + some synthetic").values == result.arm("real").values
    assert result.arm("real + synthetic").values != result.arm("real").values
    words = "real + some synthetic added nothing here, and was trained on the real rows alone: rare rows are 0.38 times"
    assert [note for note in result.notes if "added nothing" in note] == [f"{words} as many as others already."]
    assert words in render(result)
    assert result.arm("real + some synthetic").text.endswith("0.3 times as many. Nothing was added here.")
    pairs = {(d.arm, d.baseline) for d in result.differences}
    assert ("real + synthetic", "real + SMOTE") in pairs
    assert ("real + some synthetic", "real + SMOTE") not in pairs  # it would compare SMOTE with nothing


def test_what_nothing_is_lacking_for_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchaug.training.table_study.fit", None)
    arms = [arm for arm in TABLE_ARMS if arm.name in ("real", "real + SMOTE", "real + some synthetic")]
    split = partial(holdout, transactions(200, share=0.4), share=0.5)
    result = run_table_study(split, rare=[1], seeds=(0,), arms=arms, workers=1)
    assert result.columns == ()
    assert "added nothing" in " ".join(result.notes)


def test_balanced_classes_are_refused_before_anything_is_trained() -> None:
    data = transactions(400, share=0.5)
    with pytest.raises(
        ValueError, match=r"fewer rows of the rare classes \(yes\) .* got 100 and 100: .* nothing to add"
    ):
        run_table_study(partial(holdout, data, share=0.5), rare=[1])
    with pytest.raises(ValueError, match=r"fewer rows of the rare classes \(no\) .* got 380 and 20"):
        check_lacking(transactions(400, share=0.05), [0], TABLE_ARMS)
    check_lacking(data, [1], TABLE_ARMS[:3])


def test_a_generator_that_was_cut_short_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = LitTableDiffusion.default_steps(SPLIT(0)[0])
    monkeypatch.setattr("torchaug.training.table_study.seconds_per_step", lambda *_: 100.0)
    for seconds, steps, words in (
        (1000.0, None, f"The time allowed the generator 5 of its {usual} steps"),
        (1000.0, 6, "The time allowed the generator 5 of its 6 steps"),
        (1000.0, 5, "Rare classes are"),
        (None, None, "Rare classes are"),
    ):
        options = {"seeds": (0,), "arms": TABLE_ARMS[:2], "workers": 1}
        result = run_table_study(SPLIT, rare=[1], seconds=seconds, steps=steps, **options)  # type: ignore[arg-type]
        assert headline(result).startswith(words)


def test_a_column_is_shown_as_the_shares_of_its_bins() -> None:
    data = transactions(300)
    sheets = column_sheets(data, data.subset(torch.arange(100)))
    assert [sheet.name for sheet in sheets] == [column.name for column in data.columns]
    amount, shop = sheets[0], sheets[5]
    low, high = data.columns[0].low, data.columns[0].high
    expected = np.histogram(data.numeric[:, 0].numpy(), 12, (low, high))[0] / 300
    np.testing.assert_allclose(amount.real, expected)
    assert sum(shop.synthetic) == pytest.approx(1)
    counts = data.categorical[:, 0].bincount(minlength=8)
    assert dict(zip(shop.bins, shop.real, strict=True))["food"] == pytest.approx(counts[2].item() / 300)


def test_copies_are_shown_first_and_have_a_ratio_of_zero() -> None:
    train, test = SPLIT(0)
    sheet = row_sheet(train.subset([3, 4, 5]), train, test)
    assert sheet.distances == (0.0, 0.0, 0.0)
    assert sheet.ratio == 0.0
    assert sheet.rows[0] == sheet.nearest[0]
    assert row_sheet(test, train, test).ratio == pytest.approx(1.0)


def test_distances_count_deviations_and_categories() -> None:
    data = transactions(60)
    moved = data.with_rows(data.numeric.clone(), data.categorical.clone(), data.labels)
    moved.numeric[0, 0] += 2 * data.numeric[:, 0].std(correction=0)
    moved.categorical[1, 0] = (moved.categorical[1, 0] + 1) % 8
    apart = data.subset([0]), data.subset([1])
    assert nearest_rows(moved.subset([0]), data)[1] <= 2.0
    assert nearest_rows(moved.subset([1]), apart[1].subset([0, 0]))[1].item() == pytest.approx(1.0)


def test_a_missing_number_is_one_away() -> None:
    data: TableDataset = transactions(60)
    numbers = data.numeric.clone()
    numbers[0, 0] = float("nan")
    place, distance = nearest_rows(data.with_rows(numbers, data.categorical, data.labels).subset([0]), data)
    mean = (data.numeric[0, 0] - data.numeric[:, 0].mean()) / data.numeric[:, 0].std(correction=0)
    assert distance.item() <= (1 + mean**2) ** 0.5 + 1e-9
    assert distance.item() >= 1.0
    assert place.shape == (1,)


def test_the_report_shows_columns_and_rows(result: StudyResult) -> None:
    html = render(result)
    assert "Columns of the rare class" in html
    assert "Synthetic rows and their nearest training rows" in html
    assert "average precision" in headline(result)
    assert "training rows" in html
    assert "with 95 % intervals. The last column" in " ".join(html.split())
    table = html.split('<table class="rows">')[1].split("</table>")[0]
    assert [cell.split("<")[0] for cell in table.split("<th>")[1:3]] == [
        "distance",
        "",
    ]  # first: a wide table is cut off
    assert "Columns of" not in render(replace(result, columns=(), rows=None))
