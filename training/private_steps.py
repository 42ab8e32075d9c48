"""What the private trainings of all generators share: the checks, keys of rows, and noisy steps in place of plain ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from torchaug.keys import sample_keys
from torchaug.models.privacy import Parameters, check_private
from torchaug.training.generator import LitGenerator
from torchaug.training.private import PrivateData


class PrivateSteps(LitGenerator):
    """A generator trained on `PrivateData`; mix it in before the module of its kind."""

    _data: PrivateData

    def row_keys(self, batch: dict[str, Tensor]) -> Tensor:
        """Keys of this step by row, (B,) int64: by place in the batch, one row more would move the noise of others."""
        return sample_keys(batch["index"], seed=self.hparams["seed"], epoch=self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Says what the training has cost."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["torchaug"]["privacy"] = self._data.card(self.global_step)


class LossOf(nn.Module):
    """A model's loss as a module's call, which `functional_call` wants: `loss(model, ...)` of what it is called with."""

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *arguments: Any) -> Tensor:
        """The loss of one row."""
        return self.loss(self.model, *arguments)


class OneNoisyLoss(PrivateSteps):
    """Hands the optimiser of one loss its noisy gradients, in place of those of `backward`."""

    def account(self, model: nn.Module, loss: Callable[..., Tensor]) -> None:
        """Accounts for the steps of a loss: `loss(model, ...)` of rows, and what else there is, is a number."""
        module = LossOf(model, loss)
        self._data = private_data(self, module)
        self._private = (module,)  # in a tuple, so that it is no submodule

    def noisy(self, rows: tuple[Tensor, ...], *others: Any) -> Tensor:
        """Computes the gradients of a step on rows (B, ...); what it returns is no loss and tells nothing."""
        (module,) = self._private

        def loss(parameters: Parameters, row: tuple[Tensor, ...]) -> Tensor:
            value: Tensor = functional_call(module, parameters, (*(tensor[None] for tensor in row), *others))
            return value

        parameters = {name: p.detach() for name, p in module.named_parameters()}
        self._gradients = self._data.gradients(loss, parameters, rows, self.global_step)
        self._samples = self._data.batch_size
        self.log("epsilon", self._data.epsilon(self.global_step + 1), batch_size=1)
        return torch.zeros((), device=self.device)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """The gradients are there already."""
        for name, parameter in self._private[0].named_parameters():
            parameter.grad = self._gradients[name]

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *_: Any, **__: Any) -> None:
        """Nothing: each row's gradient was clipped before the noise."""


def private_data(module: LitGenerator, networks: nn.Module) -> PrivateData:
    """The private data that a module is trained on, or an error that says why the training would not be private."""
    trainer, who = module.trainer, type(module).__name__
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, PrivateData):
        loader = trainer.train_dataloader
        found = type(getattr(loader, "sampler", loader)).__name__ if data is None else type(data).__name__
        raise TypeError(
            f"{who}: expected the batches of PrivateData, in which each row is by chance and on its own, got {found}; "
            "exact shares of sources and balanced classes cannot be accounted for"
        )
    problems = {
        "one process": trainer.world_size == 1,
        "precision 32-true": str(trainer.precision) == "32-true",
        "accumulate_grad_batches=1": trainer.accumulate_grad_batches == 1,
        "no augment": module.augment is None,
    }
    if not all(problems.values()):
        raise ValueError(f"{who}: with privacy expected {', '.join(name for name, met in problems.items() if not met)}")
    check_private(networks)
    return data
