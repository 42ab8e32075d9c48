"""Transforms of sounds against independent references, given what was drawn."""

from __future__ import annotations

from conformance import Case

CASES: list[Case] = []
