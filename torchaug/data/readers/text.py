"""Text: JSON lines, CSV, and folders of text files; and tokens with tags."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torchaug.data.items import Item
from torchaug.data.readers.base import FileDataset
from torchaug.data.readers.jsonl import JsonLines, Object, is_text
from torchaug.data.readers.labels import class_numbers
from torchaug.data.readers.layout import files_by_class
from torchaug.data.readers.rows import read_rows


def read_text(
    path: str | Path,
    *,
    text: str = "text",
    label: str | None = "label",
    group: str | None = None,
    classes: Sequence[str] | None = None,
    min_classes: int = 1,
) -> FileDataset:
    r"""Text with labels: items are `{"text": str, "label": int, "index"}`, and "group" where there are groups.

    Args:
        path: a file of JSON lines (.jsonl, .ndjson), whose lines are found once and read when asked for; a CSV or TSV
            file (see `read_rows`), held in memory; or a folder of .txt files in UTF-8, one folder per class, or without
            classes. Where files end their lines with CRLF, .txt files are read with "\n".
        text: the field or column of the text.
        label: that of the class, a name or a whole number; None: no labels.
        group: that of the group (author, source, ...).
        classes: the classes in their order; None: those there, sorted; whole numbers stay as they are.
        min_classes: of a folder; fewer class folders than this are an error.

    Raises:
        FileNotFoundError: nothing at `path`.
        ValueError: another kind of file, or one with lines that cannot be used: the first five are named.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "few.jsonl"
    >>> _ = path.write_text('{"text": "Works.", "label": "good"}\n\n{"text": "Broke.", "label": "bad"}\n')
    >>> data = read_text(path)
    >>> data.classes, data[1]
    (['bad', 'good'], {'text': 'Broke.', 'label': 0, 'index': 1})
    """
    path, who = Path(path), "read_text"
    kind = path.suffix.lower()
    if path.is_dir():
        if classes is not None or group is not None:
            raise ValueError(f"{who}: the classes of a folder are the folders in it; leave out classes= and group=")
        return TextFiles(path, min_classes, who)
    if kind in (".jsonl", ".ndjson"):
        return TextLines(path, text=text, label=label, group=group, classes=classes, who=who)
    if kind in (".csv", ".tsv"):
        return TextRows(path, text=text, label=label, group=group, classes=classes, who=who)
    if not path.exists():
        raise FileNotFoundError(f"{who}: expected a file or a folder at {path}, got nothing there")
    raise ValueError(f"{who}: expected a folder or a file .jsonl, .ndjson, .csv or .tsv, got {path}")


def read_tokens(
    path: str | Path,
    *,
    tokens: str = "tokens",
    tags: str = "tags",
    label: str | None = None,
    group: str | None = None,
    tag_names: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
) -> TokenLines:
    r"""Tokens, each with a tag, of JSON lines: items are `{"tokens": list[str], "tags": list[int], "index"}`.

    Args:
        path: a file of JSON lines, which are found once and read when asked for.
        tokens: the field of the tokens, a list of strings.
        tags: that of their tags, a list as long, of names ("O", "B-PER", ...) or of whole numbers.
        label: that of the class; None: no labels.
        group: that of the group.
        tag_names: the tags in their order; None: the names there, sorted; whole numbers stay as they are.
        classes: the classes in their order; None: those there, sorted.

    Raises:
        FileNotFoundError: no file at `path`.
        ValueError: lines that cannot be used: the first five are named.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "few.jsonl"
    >>> _ = path.write_text('{"tokens": ["Ada", "wrote"], "tags": ["B-PER", "O"]}\n')
    >>> data = read_tokens(path)
    >>> data.tag_names, data[0]
    (['B-PER', 'O'], {'tokens': ['Ada', 'wrote'], 'tags': [0, 1], 'index': 0})
    """
    return TokenLines(Path(path), tokens, tags, label=label, group=group, tag_names=tag_names, classes=classes)


class TextFiles(FileDataset):
    """One text a file: items are `{"text", "index"}`, and "label" where there are class folders; see `read_text`."""

    def __init__(self, root: Path, min_classes: int, who: str) -> None:
        self.name = root.name
        self.paths, self.labels, self.classes = files_by_class(root, (".txt",), min_classes, who)

    def read(self, index: int) -> Item:
        return {"text": self.paths[index].read_text(encoding="utf-8-sig")}


class TextRows(FileDataset):
    """Texts of a CSV file, in memory: items are `{"text", "index"}`, and "label" and "group"; see `read_text`."""

    def __init__(
        self,
        path: Path,
        *,
        text: str,
        label: str | None,
        group: str | None,
        classes: Sequence[str] | None,
        who: str,
    ) -> None:
        rows = read_rows(path, needs=[name for name in (text, label, group) if name is not None], who=who)
        self.name, self.paths = path.stem, [path] * len(rows)
        self.texts = [row.fields[text] for row in rows]
        who = f"{who}: {path}"
        if label is not None:
            names = [row.fields[label] for row in rows]
            self.labels, self.classes = class_numbers(names, who, label, lambda row: f"line {rows[row].line}", classes)
        if group is not None:
            names = [row.fields[group] for row in rows]
            self.groups, self.group_names = class_numbers(names, who, group, lambda row: f"line {rows[row].line}")

    def read(self, index: int) -> Item:
        return {"text": self.texts[index]}


class TextLines(JsonLines):
    """Texts of JSON lines: items are `{"text", "index"}`, and "label" and "group"; see `read_text`."""

    def __init__(
        self,
        path: Path,
        *,
        text: str,
        label: str | None,
        group: str | None,
        classes: Sequence[str] | None,
        who: str,
    ) -> None:
        self.text = text
        super().__init__(path, label=label, group=group, classes=classes, who=who)

    def content(self, row: Object) -> Item:
        return {"text": is_text(self.field(row, self.text), self.text)}


class TokenLines(JsonLines):
    """Tokens and tags of JSON lines: items are `{"tokens", "tags", "index"}`; see `read_tokens`."""

    def __init__(
        self,
        path: Path,
        tokens: str,
        tags: str,
        *,
        label: str | None,
        group: str | None,
        tag_names: Sequence[str] | None,
        classes: Sequence[str] | None,
    ) -> None:
        self.tokens, self.tags = tokens, tags
        self._numbers: dict[str, int] | None = None
        self._found: set[str] = set()
        who = f"read_tokens: {path}"
        if tag_names is not None:
            _, self.tag_names = class_numbers([], who, tags, str, tag_names)
            self._numbers = {name: number for number, name in enumerate(self.tag_names)}
        super().__init__(path, label=label, group=group, classes=classes, who="read_tokens")
        if self._numbers is None:
            found = sorted(self._found)
            numbers, self.tag_names = class_numbers(found, who, tags, str)
            self._numbers = dict(zip(found, numbers.tolist(), strict=True))

    def content(self, row: Object) -> Item:
        tokens, tags = self.field(row, self.tokens), self.field(row, self.tags)
        for name, values in ((self.tokens, tokens), (self.tags, tags)):
            if not isinstance(values, list):
                raise TypeError(f"expected a list in {name!r}, got {type(values).__name__}")
        if len(tokens) != len(tags):
            raise ValueError(f"expected a tag for each token, got {len(tokens)} tokens and {len(tags)} tags")
        names = [self.name_of(tag, self.tags) for tag in tags]
        return {
            "tokens": [is_text(token, self.tokens) for token in tokens],
            "tags": [self._number(name) for name in names],
        }

    def _number(self, name: str) -> int:
        if self._numbers is None:  # while the file is looked through
            self._found.add(name)
            return -1
        if name not in self._numbers:
            raise ValueError(f"expected tags of {', '.join(map(repr, self._numbers))}, got {name!r}")
        return self._numbers[name]
