"""A frozen copy of a generator that may be in training, which makes the live samples of a mixture."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from torchaug.keys import sample_keys


class Snapshot:
    """A frozen copy of a generator, as `DeviceLoader(fill=...)`.

    The copy is in `eval()` and changes only when it is told to: weights that the optimiser writes to while a side stream
    reads them would give samples of no generator at all. `DeviceLoader` writes `version` to every live sample.

    Args:
        generator: a module with `make(labels, keys)`, such as a `LitGAN` in training (`torchaug.training.synthesizer`).
        seed: of the samples, which are functions of it and of the number of their draw.

    >>> class Grey(nn.Module):
    ...     def make(self, labels, keys):
    ...         return {"image": labels.view(-1, 1, 1, 1).expand(-1, 1, 4, 4) / 10}
    >>> fill = Snapshot(Grey())
    >>> fill(torch.arange(2), torch.tensor([3, 5]))[:, 0, 0, 0], fill.version
    (tensor([0.3000, 0.5000]), 0)
    """

    needs_labels = True

    def __init__(self, generator: nn.Module, *, seed: int = 0) -> None:
        if not isinstance(generator, nn.Module) or not callable(getattr(generator, "make", None)):
            raise TypeError(
                "Snapshot: expected a module with make(labels, keys), such as load_generator gives, got "
                f"{type(generator).__name__}"
            )
        self._generator, self.seed, self.version = generator, seed, 0
        self._known: set[int] = set()
        self._copy = _frozen(generator)

    @property
    def trained_on(self) -> str | None:
        """`fingerprint` of what the generator was trained on, where it knows: for `Source.live`."""
        return getattr(self._generator, "trained_on", None)

    @property
    def trained_items(self) -> Tensor | None:
        """`item_hashes` of it."""
        return getattr(self._generator, "trained_items", None)

    def refresh(self) -> None:
        """Take the weights as they are now. Between two epochs: a `DeviceLoader` has then read its last batch."""
        self._copy = _frozen(self._generator)
        self.version += 1

    def check(self, labels: Tensor) -> None:
        """Refuses classes (n,), on the CPU, that the generator does not know or was trained on no sample of.

        A generator says so by `class_of`, as a `Synthesizer` does; one that is still in training may not know yet.

        Raises:
            ValueError: the class is named.
        """
        class_of = getattr(self._generator, "class_of", None)
        for label in set(labels.tolist()) - self._known:
            if class_of is not None:
                class_of(label)
            self._known.add(label)

    @torch.no_grad()
    def __call__(self, draws: Tensor, labels: Tensor) -> Tensor:
        """Samples of (n,) draws and labels."""
        model: Any = self._copy
        columns: dict[str, Tensor] = model.make(labels, sample_keys(draws, seed=self.seed))
        (made,) = columns.values()
        return made


def _frozen(generator: nn.Module) -> nn.Module:
    prepare = getattr(generator, "prepare_samples", None)
    if prepare is not None:  # of a generator of ours that is in training
        prepare()
    return deepcopy(generator).eval().requires_grad_(False)
