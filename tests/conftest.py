"""What all tests share."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)  # the tests run in two processes

# A shared machine breaks any deadline; in CI a failure must be the change's and not the day's.
settings.register_profile("torchaug", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("torchaug")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
