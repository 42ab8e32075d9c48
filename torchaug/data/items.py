"""What an item of a data set is: a dict of its content, its labels, and where it came from."""

from __future__ import annotations

from typing import Any

Item = dict[str, Any]

CONTENT = ("image", "volume", "video", "waveform", "text", "tokens", "table")
"""What an item can be: "image" (C, H, W), "volume" (C, D, H, W), "video" (T, C, H, W), "waveform" (C, T), "text" a str,
"tokens" a list or (L,), "table" (F,)."""

RAGGED = ("waveform", "text", "tokens")
"""What differs in length from item to item."""


def content_of(item: object) -> Item:
    """The entries of an item that are its content; none of what is no dict.

    >>> content_of({"text": "a", "label": 0})
    {'text': 'a'}
    """
    return {name: item[name] for name in CONTENT if name in item} if isinstance(item, dict) else {}
