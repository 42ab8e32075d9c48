"""Text and tokens in files: JSON lines, CSV, folders; what every line may hold, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from torchaug.data import SampleError, read_text, read_tokens
from torchaug.data.readers.rows import read_rows

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def texts(data: Any) -> list[str]:
    return [data[index]["text"] for index in range(len(data))]


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@given(rows=st.lists(st.tuples(TEXT, st.sampled_from(["x", "y", "ü"]), st.booleans()), min_size=1), end=st.booleans())
def test_json_lines_come_back_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, bool]], end: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    written = [json.dumps({"id": 1, "label": b, "text": a}, ensure_ascii=ascii) for a, b, ascii in rows]
    path.write_bytes("\n".join(written).encode() + b"\n" * end)
    data = read_text(path)
    assert len(data) == len(rows)
    assert data.classes == sorted({label for _, label, _ in rows})
    for index in random.Random(0).sample(range(len(rows)), len(rows)):
        text, label, _ = rows[index]
        assert data[index] == {"text": text, "label": data.classes.index(label), "index": index}


def test_a_byte_order_mark_crlf_and_empty_lines_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a", "label": "x"}\r\n\r\n  \n{"text": "b", "label": "y"}\r\n\n')
    data = read_text(path)
    assert texts(data) == ["a", "b"]
    with pytest.raises(ValueError, match="a label must be one of 'x', or its number, got 'y' in line 4"):
        read_text(path, classes=["x"])


def test_very_long_lines_are_read(tmp_path: Path) -> None:
    long = "word " * 1_000_000
    data = read_text(lines(tmp_path / "a.jsonl", {"text": "s"}, {"text": long}, {"text": "e"}), label=None)
    assert texts(data) == ["s", long, "e"]
    before = csv.field_size_limit()
    (tmp_path / "a.csv").write_text(f"text\n{long}\n")
    assert read_text(tmp_path / "a.csv", label=None)[0]["text"] == long
    assert csv.field_size_limit() == before


def test_fields_have_the_names_that_are_given(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"body": "b", "stars": 4, "site": "s"}, {"body": "", "stars": 0, "site": "r"})
    data = read_text(path, text="body", label="stars", group="site")
    assert data[0] == {"text": "b", "label": 4, "group": 1, "index": 0}
    assert (data.classes, data.group_names) == (["0", "1", "2", "3", "4"], ["r", "s"])
    assert data.subset([1])[0] == {"text": "", "label": 0, "group": 0, "index": 0}
    ordered = read_text(path, text="body", label="site", classes=["s", "t", "r"])
    assert ordered.labels is not None
    assert ordered.labels.tolist() == [0, 2]
    flags = read_text(lines(tmp_path / "b.jsonl", {"text": "", "label": True}, {"text": "", "label": False}))
    assert flags.classes == ["false", "true"]


BAD_LINES: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{text: 1}", r"line 2: expected a JSON object, got '\{text: 1\}\\n' \(Expecting property name"),
    "half": (b'{"text": "a"', "line 2: expected a JSON object, got "),
    "a list": (b'["a", "x"]', "line 2: expected a JSON object, got list"),
    "deep": (b"[" * 100_000, "line 2: expected a JSON object, got "),
    "no text": (b'{"txt": "a", "label": "x"}', "line 2: expected a field 'text', got 'txt', 'label'"),
    "no label": (b'{"text": "a"}', "line 2: expected a field 'label', got 'text'"),
    "number": (b'{"text": 3, "label": "x"}', "line 2: expected a string in 'text', got int"),
    "null": (b'{"text": null, "label": "x"}', "line 2: expected a string in 'text', got NoneType"),
    "null label": (b'{"text": "a", "label": null}', "line 2: expected a string or a whole number in 'label', got None"),
    "empty label": (b'{"text": "a", "label": ""}', "line 2: expected a string or a whole number in 'label', got ''"),
    "fraction": (b'{"text": "a", "label": 0.5}', "line 2: expected a string or a whole number in 'label', got float"),
    "latin": ('{"text": "für", "label": "x"}'.encode("latin-1"), "line 2: expected UTF-8, got byte 0xfc at 11"),
    "surrogate": (rb'{"text": "a\ud800", "label": "x"}', r"line 2: .* got half of a surrogate pair, \\ud800"),
}


@pytest.mark.parametrize("fault", BAD_LINES)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, fault: str) -> None:
    line, message = BAD_LINES[fault]
    good = b'{"text": "a", "label": "x"}\n'
    (tmp_path / "a.jsonl").write_bytes(good + line + b"\n" + good)
    with pytest.raises(ValueError, match=rf"a\.jsonl: expected lines that can be used, got {message}"):
        read_text(tmp_path / "a.jsonl")


def test_all_lines_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("x\n" * 9)
    with pytest.raises(ValueError, match=r"line 1: .* line 5: .* and 4 more; mend or remove them"):
        read_text(tmp_path / "a.jsonl")


def test_a_whole_surrogate_pair_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(r'{"text": "\ud83d\ude00"}')
    assert read_text(tmp_path / "a.jsonl", label=None)[0]["text"] == "\U0001f600"


def test_only_the_line_asked_for_is_read_and_processes_share_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": str(number), "label": number % 2} for number in range(50)]
    data = read_text(lines(tmp_path / "a.jsonl", *rows))
    loaded = list(DataLoader(data, batch_size=None, num_workers=2, shuffle=True))
    assert sorted(item["index"] for item in loaded) == list(range(50))
    assert all(item["text"] == str(item["index"]) for item in loaded)
    parsed: list[str] = []
    loads = json.loads

    def noted(text: str) -> Any:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr(json, "loads", noted)
    assert data[37]["text"] == "37"
    assert parsed == [json.dumps(rows[37]) + "\n"]
    assert data.verify() == []


def test_a_file_that_changed_is_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "a", "label": 0}, {"text": "b", "label": 1})
    data = read_text(path)
    found = path.stat()
    path.write_text(path.read_text().replace("a", "aa", 1))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    with pytest.raises(SampleError, match=r"index=1 .*path='.*a\.jsonl'.*got a changed one; open it again"):
        data[1]
    assert len(data.verify()) == 2


@given(rows=st.lists(st.tuples(FIELD, FIELD.filter(bool), FIELD), min_size=1), kind=st.sampled_from([".csv", ".tsv"]))
def test_csv_comes_back_as_the_csv_module_wrote_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{kind}"
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if kind == ".tsv" else ",")
        writer.writerows([("text", "label", "more"), *rows])
    assert [tuple(row.fields.values()) for row in read_rows(path, who="here")] == rows
    data = read_text(path)
    assert texts(data) == [text for text, _, _ in rows]
    assert data.classes is not None
    assert [data.classes[data[index]["label"]] for index in range(len(data))] == [label for _, label, _ in rows]


def test_rows_know_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\rb,x\rc,y")
    assert [(row.line, row.fields["text"]) for row in read_rows(path, who="here")] == [(2, "b"), (3, "c")]
    path.write_bytes(b'\n"text",label\r\n"a\nb""c",x\r\n\r\n"d, e",y\r\nf,z')
    assert [(row.line, row.fields["text"]) for row in read_rows(path, who="here")] == [
        (3, 'a\nb"c'),
        (6, "d, e"),
        (7, "f"),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a header and rows in .*, got an empty file"),
        (b"\n\n", "got an empty file"),
        (b"text,label\n", "expected rows below the header in .*, got none"),
        (b"body,label\na,x\n", "expected a column 'text' in .*, got 'body', 'label'"),
        (b"text,label,text\na,x,b\n", "columns with different names in .*, got 'text' twice"),
        (b"text,label\na,x\n\nb\n", "expected 2 fields as in the header, got 1 in line 4"),
        (b"text,label\na,x\nb,x,c\n", "expected 2 fields as in the header, got 3 in line 3"),
        (b'text,label\n"a,x\n', r"expected quoted fields that end, got unexpected end of data in line 2"),
        (b'text,label\n"a"b,x\n', r"expected quoted fields that end, got .* in line 2"),
        (b"text,label\na,x\nf\xfcr,y\n", "expected UTF-8 in .*, got byte 0xfc in line 3"),
        (b"text,label\na,x\n\0,y\n", "got a NUL byte in line 3"),
        ("text,label\na,x\n".encode("utf-16"), "expected UTF-8 in .*, got UTF-16"),
        (b"text,label\na,x\nb,\n", "expected a label for every item, got none in line 3"),
    ],
)
def test_csv_that_cannot_be_used_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_text(tmp_path / "a.csv")


def test_a_folder_per_class(tmp_path: Path) -> None:
    for name, texts in {"neg": [b"bad\r\nworse"], "pos": [b"\xef\xbb\xbfgood", b"\xff"]}.items():
        (tmp_path / name).mkdir()
        for number, text in enumerate(texts):
            (tmp_path / name / f"{number}.txt").write_bytes(text)
    data = read_text(tmp_path)
    assert data.classes == ["neg", "pos"]
    assert [data[index] for index in range(2)] == [
        {"text": "bad\nworse", "label": 0, "index": 0},
        {"text": "good", "label": 1, "index": 1},
    ]
    (error,) = data.verify()
    assert (error.index, error.path) == (2, str(tmp_path / "pos" / "1.txt"))
    assert set(read_text(tmp_path / "pos")[0]) == {"text", "index"}
    with pytest.raises(ValueError, match="leave out classes= and group="):
        read_text(tmp_path, classes=["pos", "neg"])


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="got nothing there"):
        read_text(tmp_path / "none.txt")
    with pytest.raises(FileNotFoundError, match=r"expected a file at .*, got nothing there"):
        read_text(tmp_path / "none.jsonl")
    with pytest.raises(FileNotFoundError, match=r"expected a file at .*, got a folder there"):
        read_tokens(tmp_path)
    (tmp_path / "a.docx").write_text("")
    with pytest.raises(ValueError, match=r"a folder or a file \.jsonl, \.ndjson, \.csv or \.tsv, got .*a\.docx"):
        read_text(tmp_path / "a.docx")
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="one JSON object a line, got an empty file"):
        read_text(tmp_path / "a.jsonl")


def test_tokens_have_tags(tmp_path: Path) -> None:
    rows = [{"tokens": ["Ada", "slept"], "tags": ["B-PER", "O"], "doc": "x"}, {"tokens": [], "tags": [], "doc": "y"}]
    path = lines(tmp_path / "a.jsonl", *rows)
    data = read_tokens(path, label="doc")
    assert data.tag_names == ["B-PER", "O"]
    assert data[0] == {"tokens": ["Ada", "slept"], "tags": [0, 1], "label": 0, "index": 0}
    assert data[1] == {"tokens": [], "tags": [], "label": 1, "index": 1}
    assert data.subset([0]).tag_names == ["B-PER", "O"]
    named = read_tokens(path, tag_names=["O", "B-PER", "I-PER"])
    assert (named[0]["tags"], named.tag_names) == ([1, 0], ["O", "B-PER", "I-PER"])
    numbers = read_tokens(lines(tmp_path / "b.jsonl", {"tokens": ["a", "b"], "tags": [3, 0]}))
    assert (numbers[0]["tags"], numbers.tag_names) == ([3, 0], ["0", "1", "2", "3"])
    assert read_tokens(lines(tmp_path / "c.jsonl", {"tokens": [], "tags": []})).tag_names == []
    with pytest.raises(ValueError, match="classes must differ, got 'O', 'O'"):
        read_tokens(path, tag_names=["O", "O"])


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({"tokens": ["a"], "tags": ["O", "O"]}, {}, "a tag for each token, got 1 tokens and 2 tags"),
        ({"tokens": "a", "tags": ["O"]}, {}, "expected a list in 'tokens', got str"),
        ({"tokens": ["a"], "tags": "O"}, {}, "expected a list in 'tags', got str"),
        ({"tokens": [1], "tags": ["O"]}, {}, "expected a string in 'tokens', got int"),
        ({"tokens": ["a"], "tags": [None]}, {}, "expected a string or a whole number in 'tags', got NoneType"),
        ({"words": ["a"], "tags": ["O"]}, {}, "expected a field 'tokens', got 'words', 'tags'"),
        ({"tokens": ["a"], "tags": ["X"]}, {"tag_names": ["O"]}, "expected tags of 'O', got 'X'"),
    ],
)
def test_tokens_that_cannot_be_used_are_named(tmp_path: Path, row: Any, options: Any, message: str) -> None:
    good = {"tokens": ["a"], "tags": ["O"]}
    with pytest.raises(ValueError, match=rf"line 2: .*{message}"):
        read_tokens(lines(tmp_path / "a.jsonl", good, row), **options)
