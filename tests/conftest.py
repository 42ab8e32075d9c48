"""What all tests share."""

from __future__ import annotations

import os
import zlib

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)  # the tests run in two processes

# A shared machine breaks any deadline; in CI a failure must be the change's and not the day's.
settings.register_profile("torchaug", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("torchaug")


class Seeded:
    """Every test and doctest that draws without a seed draws the same each time, whatever ran before it."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        torch.manual_seed(zlib.crc32(item.nodeid.encode()))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Seeded())  # a hook of this file itself would not see the doctests of torchaug/


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
