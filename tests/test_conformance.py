"""Every transform against its oracle, at its tolerance; docs/conformance.md shows the measured errors."""

from __future__ import annotations

import pytest
import torch
from conformance import Case, against, cases
from torchvision.transforms.v2 import functional as tvf

from torchaug import image as T

CASES = list(cases())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_transform_equals_its_oracle(case: Case) -> None:
    assert case.error(torch.device("cpu")) <= case.tolerance


@pytest.mark.gpu
@pytest.mark.parametrize("case", [case for case in CASES if "cuda" in case.devices], ids=str)
def test_a_transform_equals_its_oracle_on_a_gpu(case: Case) -> None:
    assert case.error(torch.device("cuda")) <= case.tolerance


def test_a_planted_error_is_found() -> None:
    """The oracle flips the other way: no tolerance lets that pass."""
    for case in against(T.RandomHorizontalFlip(p=1.0), lambda image, _: tvf.vertical_flip(image), "a wrong flip"):
        assert case.error(torch.device("cpu")) > 10 * case.tolerance
