from __future__ import annotations

from conformance import Case

CASES: list[Case] = []
