"""Sources: what their labels, groups and weights must be, and what must be the same in all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchaug.data import Bank, BankWriter, MixedDataset, MixedSampler, Source, TensorImages


def images(names: Any, labels: Any = (0, 1)) -> Any:
    return TensorImages(torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), torch.tensor(labels), list(names))


class Grouped:
    """Stands for a data set of files of several sites."""

    def __init__(self, groups: Any, names: Any = None, size: int = 3) -> None:
        self.groups, self.group_names, self.size = groups, names, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        return {"image": torch.zeros(1, 2, 2, dtype=torch.uint8), "label": 0}


def made(**options: Any) -> Any:
    return Source("n", 3, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"labels": torch.tensor([0.0, 1, 1])},
            r"labels of 'n' must be \(3,\) whole numbers, got torch.float32 \(3,\)",
        ),
        ({"labels": torch.tensor([True, False, True])}, "labels of 'n' .* got torch.bool"),
        ({"labels": torch.tensor([0, 1])}, r"labels of 'n' must be \(3,\) whole numbers, got torch.int64 \(2,\)"),
        ({"labels": torch.zeros(3, 1).long()}, r"labels of 'n' must be \(3,\).*\(3, 1\)"),
        ({"labels": torch.tensor([0, -3, 1])}, "labels of 'n' must be 0 or more, got -3 at index 1"),
        ({"labels": [0, 1, 1]}, r"labels of 'n' must be a tensor, got list; pass torch.as_tensor\(labels\)"),
        ({"labels": torch.zeros(3, dtype=torch.complex64)}, "got torch.complex64"),
        ({"groups": torch.tensor([0.0, 1, 1])}, r"groups of 'n' must be \(3,\) whole numbers, got torch.float32"),
        ({"groups": torch.tensor([0, 1])}, r"groups of 'n' must be \(3,\)"),
        ({"groups": torch.tensor([0, 1, -1])}, "groups of 'n' must be 0 or more, got -1 at index 2"),
        (
            {"weights": torch.tensor([1, torch.nan, 1])},
            "weights of 'n' must be finite and 0 or more, got nan at index 1",
        ),
        ({"weights": torch.tensor([1, 1, torch.inf])}, "got inf at index 2"),
        ({"weights": torch.tensor([-1.0, 1, 1])}, "got -1.0 at index 0"),
        ({"weights": torch.zeros(3)}, "at least one weight of 'n' must be above 0"),
        ({"weights": torch.ones(4)}, r"weights of 'n' must be \(3,\), got \(4,\)"),
    ],
)
def test_numbers_that_cannot_be_are_refused(options: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        made(**options)


def test_groups_come_from_the_data_set_or_from_the_caller() -> None:
    data: Any = Grouped(torch.tensor([2, 0, 1]), ["a", "b", "c"])
    source = Source.real(data)
    assert source.groups is data.groups
    assert source.group_names == ["a", "b", "c"]
    own = torch.zeros(3, dtype=torch.int64)
    assert Source("n", data, groups=own).groups is own
    assert Source.real(Grouped([2, 0, 1])).groups is None, "what is no tensor is not taken"  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"groups of 'real' must be \(2,\)"):
        Source.real(Grouped(torch.tensor([2, 0, 1]), size=2))  # type: ignore[arg-type]


numbers = st.lists(st.integers(0, 70_000), min_size=1, max_size=8)


@given(numbers, numbers, st.booleans())
def test_a_fingerprint_tells_labels_and_groups_apart(one: Any, other: Any, grouped: bool) -> None:
    def print_of(labels: Any, groups: Any = None) -> str:
        kept = None if groups is None else torch.tensor(groups)
        return Source("n", len(labels), labels=torch.tensor(labels), groups=kept).fingerprint

    assert print_of(one) == Source("n", len(one), labels=torch.tensor(one).int()).fingerprint, "of any type"
    assert (print_of(one) == print_of(other)) == (one == other)
    assert print_of(one) != print_of(one, one)
    other = (other * 8)[: len(one)]
    assert (print_of(one, one) == print_of(one, other)) == (one == other)
    assert (print_of(one, other) == print_of(other, one)) == (one == other)


def test_a_fingerprint_is_of_all_labels() -> None:
    labels = torch.zeros(600_000, dtype=torch.uint8)
    before = Source("n", 600_000, labels=labels).fingerprint
    labels[-1] = 1
    assert Source("n", 600_000, labels=labels).fingerprint != before


@pytest.mark.parametrize("sources_of", [MixedDataset, lambda sources: MixedSampler(sources, 0.25, batch_size=2)])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cat", "dog"], None),
        (
            ["dog", "cat"],
            "classes of source 'other' must be those of source 'real', got another at 0: 'dog', where 'real'",
        ),
        (["cat", "cow"], "got another at 1: 'cow', where 'real' has 'dog'; give all sources the same"),
        (["cat", "dog", "cow"], "got another at 2: 'cow', where 'real' has missing"),
        (["cat"], "got another at 1: missing, where 'real' has 'dog'"),
    ],
)
def test_classes_must_be_the_same_in_all_sources(sources_of: Any, names: Any, message: Any) -> None:
    sources = [Source.real(images(["cat", "dog"])), Source("other", images(names, [0, 0]), kind="bank")]
    if message is None:
        assert sources_of(sources)
    else:
        with pytest.raises(ValueError, match=message):
            sources_of(sources)


def test_a_bank_of_other_classes_is_told_how_to_number_them(tmp_path: Path) -> None:
    with BankWriter(tmp_path, config={}, trained_on=None, generator="g", classes=["dog", "cat"]) as writer:
        writer.write(0, {"image": torch.zeros(2, 1, 2, 2, dtype=torch.uint8)}, torch.tensor([0, 1]), torch.arange(2))
    real = Source.real(images(["cat", "dog"]))
    with pytest.raises(ValueError, match=r"open the bank as Bank\(path, classes=\.\.\.\) with the classes of 'real'"):
        MixedDataset([real, Source.bank(Bank(tmp_path))])
    mixed = MixedDataset([real, Source.bank(Bank(tmp_path, classes=["cat", "dog"]))])
    assert [mixed[index]["label"] for index in range(4)] == [0, 1, 1, 0]


def test_labels_beyond_the_classes_are_named() -> None:
    real = Source.real(images(["cat", "dog"]))
    beyond = Source("bank", 3, labels=torch.tensor([0, 2, 1]), kind="bank")
    with pytest.raises(
        ValueError, match=r"labels of source 'bank' must be below 2.* of source 'real', got 2 at index 1"
    ):
        MixedSampler([real, beyond], 0.25, batch_size=2)
    nameless = Source("real", 3, labels=torch.tensor([0, 1, 1]))
    assert MixedSampler([nameless, beyond], 0.25, batch_size=2), "without names nothing says how many there are"


def test_groups_must_be_the_same_in_all_sources() -> None:
    one: Any = Grouped(torch.tensor([0, 1, 1]), ["a", "b"])
    other: Any = Grouped(torch.tensor([0, 1, 1]), ["b", "a"])
    with pytest.raises(
        ValueError, match="group_names of source 'bank' must be those of source 'real', got another at 0"
    ):
        MixedDataset([Source.real(one), Source("bank", other, kind="bank")])
    beyond: Any = Grouped(torch.tensor([0, 2, 1]))
    with pytest.raises(ValueError, match="groups of source 'bank' must be below 2, the number of group_names"):
        MixedDataset([Source.real(one), Source("bank", beyond, kind="bank")])
