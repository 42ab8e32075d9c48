"""Training of the conditional image GAN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from typing_extensions import Self

from torchaug.image.adaptive import AdaptiveP, HoldoutP
from torchaug.keys import fold_in, uniforms
from torchaug.models.ema import EMA
from torchaug.models.gan import ImageGAN, default_gamma, generate, interpolate
from torchaug.models.gan_augment import DiscriminatorAugment, anew, dithered
from torchaug.models.gan_condition import ConditionKind
from torchaug.models.gan_losses import Augment, Loss, check_loss, discriminator_loss, generator_loss
from torchaug.training.adversarial import TwoPlayers
from torchaug.training.data import InMemory
from torchaug.training.gan_holdout import HeldOut
from torchaug.training.generator import KeyedAugment
from torchaug.training.image_generator import LitImageGenerator, images_in
from torchaug.training.images import suited
from torchaug.training.plan import class_keys
from torchaug.training.schedules import cosine
from torchaug.training.settings import check_ranges
from torchaug.training.synthesizer import Columns

OBSERVED = 4
"""Steps between two looks at how far the discriminator overfits."""
HIGHEST_P = 0.8
RATES = {"tiny": 2e-3, "narrow": 3e-3, "small": 2e-3, "base": 5e-4, "large": 2e-4}
"""Learning rates that suit the presets."""


class LitGAN(TwoPlayers, LitImageGenerator):
    """An `ImageGAN` with its two optimisers and the averaged weights of its generator.

    One step of the trainer is one batch: a discriminator step and a generator step. Sample from a checkpoint with
    `LitGAN.load_from_checkpoint(path).sample(8, "cat")`; the discriminator is in it too, to train on and for `score`.

    Args:
        shape: channels, height and width.
        classes: the name of each class; one name for images without classes. For another condition, the names of the
            labels or numbers.
        steps: batches; schedules run over them.
        augment: the transform of torchaug through which the discriminator sees real and generated images, differentiable
            twice (`DiscriminatorAugment` says what is not); not part of the checkpoint.
        augment_p: chance per image at the end of training; it rises from 0 along a cosine, since an augmentation that
            is always there is learnt (arXiv 2006.06676).
        adaptive: instead, p of the `augment` that there must be rises and falls with how far the discriminator overfits: by images held out
            (`SynthesisDataModule(holdout=...)`) for the relativistic loss, by signs of the scores for the others.
        adaptive_kimg: thousands of images in which p could rise from 0 to 1.
        condition: "class", "multi-label" or "continuous", see `ImageGAN`; for the latter two the batch's "label" is
            (B, len(classes)) float, the generator has no classes, and samples are asked for with `given=`.
        loss: "relativistic", "non-saturating", "hinge", "least-squares" or "wasserstein", each with its own penalties.
        lazy: the penalties are computed in each `lazy`-th step, `lazy` times as heavy: faster, less exact. `fit` takes 4 for
            the smallest preset.
        accumulate: parts in which a batch goes through the networks, one after the other, where memory is short. The
            gradients are those of the whole batch, and it stays one step.
        latent, preset, levels: see `ImageGAN`.
        learning_rate: at the start; it falls to a twentieth along a cosine.
        gamma: weight of the penalties at the start, falling to a tenth; None for `default_gamma`, 0 for no penalties.
        half_life: of the averaged weights, in samples; at most a fifth of those seen.
        seed: of the noise and the augmentation.
    """

    kind = "gan"
    slowing = 20
    sampling = ("truncation", "tries")

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: Sequence[str],
        steps: int,
        augment: KeyedAugment | None = None,
        augment_p: float = 0.5,
        adaptive: bool = False,
        adaptive_kimg: float = 100.0,
        condition: ConditionKind = "class",
        loss: Loss = "relativistic",
        lazy: int = 1,
        accumulate: int = 1,
        latent: int = 64,
        preset: str = "tiny",
        levels: int = 256,
        learning_rate: float = 2e-3,
        gamma: float | None = None,
        half_life: float = 80_000.0,
        seed: int = 0,
    ) -> None:
        super().__init__(augment)
        classes = list(classes)
        self.save_hyperparameters(ignore=["augment"])
        check_loss(loss)
        if isinstance(gamma, str):
            raise TypeError(
                f"LitGAN: gamma must be a number or None, got {gamma!r}; find_gamma(data).gamma is one, and fit takes auto"
            )
        check_ranges(type(self).__name__, self.hparams)
        self.automatic_optimization = False
        sizes: dict[str, Any] = {"latent": latent, "preset": preset, "levels": levels, "condition": condition}
        self.gan = ImageGAN(*shape, num_classes=len(classes), **sizes)
        self.ema = EMA(self.gan.generator, half_life, ramp=0.2)
        self.gamma = default_gamma(*shape[1:], loss) if gamma is None else gamma
        self.seen_through = DiscriminatorAugment(cast(Any, augment), orders=2 if self.gamma else 1)
        self.control: AdaptiveP | None = None
        if adaptive:
            control = HoldoutP if loss == "relativistic" else AdaptiveP
            kimg = adaptive_kimg / OBSERVED  # it is told of one step in so many
            self.control = control(self.seen_through, kimg=kimg, interval=1, highest=HIGHEST_P)
        self._held_out: tuple[HeldOut, ...] = ()

    @classmethod
    def default_settings(cls, data: InMemory) -> dict[str, Any]:
        """Settings that suit images of this size and of so many grey levels, on this machine.

        >>> from torchaug.data import digits
        >>> LitGAN.default_settings(digits())
        {'preset': 'tiny', 'levels': 17, 'learning_rate': 0.002, 'lazy': 4}
        """
        preset, levels, side = suited(images_in(data, "LitGAN"))
        preset = "narrow" if preset == "tiny" and side > 16 else "large" if preset == "base" and side > 64 else preset
        # twice as many steps in the same time are worth more than penalties in each: measured for the smallest alone
        lazy = 4 if preset == "tiny" else 1
        return {"preset": preset, "levels": levels, "learning_rate": RATES[preset], "lazy": lazy}

    @classmethod
    def chosen_settings(cls, data: InMemory, given: Mapping[str, Any]) -> dict[str, Any]:
        """As ever, but with the rate and the penalties that suit the preset that is given.

        >>> from torchaug.data import digits
        >>> LitGAN.chosen_settings(digits(), {"preset": "base"})
        {'preset': 'base', 'levels': 17, 'learning_rate': 0.0005, 'lazy': 1}
        """
        found = cls.default_settings(data)
        if given.get("preset") in RATES:
            found["learning_rate"] = RATES[given["preset"]]
        if given.get("preset", "tiny") != "tiny":
            found["lazy"] = 1
        return {**found, **given}

    @classmethod
    def made_for(cls, data: InMemory, steps: int, augment: KeyedAugment | None, settings: dict[str, Any]) -> Self:
        if settings.get("condition", "class") != "class":
            raise ValueError(
                f"{cls.__name__}: fit trains on classes, got condition {settings['condition']!r}; train LitGAN by Lightning "
                'with a DataLoader of your own, whose batches have "label" (B, K) float, see docs/generators.md'
            )
        return super().made_for(data, steps, augment, settings)

    # samples

    @property
    def classes(self) -> list[str]:  # type: ignore[override]
        """The name of each class; empty where the condition is another."""
        return list(self.hparams["classes"]) if self.hparams["condition"] == "class" else []

    def generate(self, labels: Tensor, keys: Tensor, **settings: Any) -> Tensor:
        """Images of the averaged generator; settings `truncation` and `tries` as in `torchaug.models.gan.generate`."""
        return generate(self.ema.model, self.gan.discriminator, labels, keys, **settings)

    def make(self, labels: Tensor, keys: Tensor, **settings: Any) -> Columns:
        """As ever; where the condition is not a class, the setting `given` says it for all samples, by name or in order."""
        if self.hparams["condition"] != "class":
            labels = self._given(settings.pop("given", None)).to(keys.device).expand(len(keys), -1)
        return super().make(labels, keys, **settings)

    def examples(self) -> Sequence[Mapping[str, Any]]:
        """Where the condition is not a class, one label or number after the other at 1, the others at 0."""
        by_class = self.hparams["condition"] == "class"
        return [{}] if by_class else [{"given": {name: 1.0}} for name in self.hparams["classes"]]

    def interpolate(
        self, first: int, second: int, steps: int = 8, *, labels: int | str = 0, seed: int = 0, **settings: Any
    ) -> Tensor:
        """Images on the great circle between the latents of two samples of a class, (steps, C, H, W) in [0, 1]."""
        number = self.class_of(labels)
        ends = class_keys(torch.full((2,), number), torch.tensor([first, second]), seed).to(self.device)
        wanted = torch.tensor([number], device=self.device)
        if self.hparams["condition"] != "class":
            wanted = self._given(settings.pop("given", None)).to(self.device)
        if settings:
            raise TypeError(f"LitGAN.interpolate: expected no settings, got {', '.join(settings)}")
        return interpolate(self.ema.model, wanted, ends[:1], ends[1:], steps)[0]

    def score(self, content: Tensor, labels: Tensor | None = None) -> Tensor:
        """How real images (B, C, H, W), uint8 or in [0, 1], look to the discriminator: comparable within a label alone."""
        if labels is None and self.hparams["condition"] != "class":
            raise ValueError(
                f"LitGAN.score: expected labels ({len(content)}, {len(self.hparams['classes'])}), got none"
            )
        return self.gan.score(*self.to_score(content, labels))

    def _given(self, given: Mapping[str, float] | Sequence[float] | None) -> Tensor:
        """A condition as (1, K)."""
        names = list(self.hparams["classes"])
        if isinstance(given, Mapping) and set(given) <= set(names):
            given = [given.get(name, 0.0) for name in names]
        if given is None or isinstance(given, Mapping) or len(given) != len(names):
            raise TypeError(
                f"LitGAN: given must be numbers for {', '.join(names)}, by name or in this order, got {given}"
            )
        return torch.tensor([[float(x) for x in given]], dtype=self.ema.model.start.dtype)

    # training

    def on_fit_start(self) -> None:
        """Refuses strategies under which training would fail later, or go wrong, and to adapt what is not there."""
        super().on_fit_start()
        if self.control is not None and self.augment is None:
            raise ValueError(
                "LitGAN: adaptive=True says how often images are augmented, expected an augment, got None; pass one, or leave "
                "adaptive out"
            )
        if isinstance(self.control, HoldoutP):
            data = getattr(self.trainer, "datamodule", None)
            self._held_out = (HeldOut(data, self.hparams["condition"], self.device),)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """A discriminator step, then a generator step, with the same real images and labels."""
        real, labels, keys = self.images_of(batch), batch["label"], self.step_keys(len(batch["label"]))
        generator, discriminator = self.players()
        if self.control is None:
            self.seen_through.p.fill_(self.hparams["augment_p"] * (1 - cosine(1.0, 0.0, self.progress)))
        logged: dict[str, Tensor] = {}
        for optimizer, part in ((discriminator, self._judge), (generator, self._fool)):
            self.toggle_optimizer(optimizer)
            optimizer.zero_grad()
            for rows in torch.arange(len(real)).chunk(self.hparams["accumulate"]):
                of = slice(int(rows[0]), int(rows[-1]) + 1)
                loss, parts = part(real[of], labels[of], keys[of])
                share = len(rows) / len(real)
                self.manual_backward(loss * share)
                for name, value in parts.items():
                    logged[name] = logged.get(name, 0) + value * share
            optimizer.step()
            self.untoggle_optimizer(optimizer)
        self.ema.update(self.gan.generator, len(labels) * self.trainer.world_size)
        self.log_dict(logged, batch_size=len(labels))

    @property
    def weight_of_penalties(self) -> float:
        """Gamma at this step: it falls to a tenth."""
        return cosine(self.gamma, self.gamma / 10, self.progress)

    def _judge(self, real: Tensor, labels: Tensor, keys: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss."""
        with torch.no_grad():
            fake = self._fake(labels, fold_in(keys, 0)).to(real.dtype)
        lazy = self.hparams["lazy"]
        penalised = self.gamma and self.global_step % lazy == 0
        gamma = lazy * self.weight_of_penalties if penalised else None
        share = uniforms(fold_in(keys, 2), 1)[:, 0] if self.hparams["loss"] == "wasserstein" else None
        loss, parts = discriminator_loss(
            self.gan.discriminator,
            real,
            fake,
            labels,
            gamma=gamma,
            loss=self.hparams["loss"],
            share=share,
            augment=self._shown(fold_in(keys, 1)),
        )
        return loss, {"loss": loss.detach(), **parts}

    def _fool(self, real: Tensor, labels: Tensor, keys: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss."""
        fake = self._fake(labels, fold_in(keys, 3)).to(real.dtype)
        shown = self._shown(fold_in(keys, 4))
        loss = generator_loss(self.gan.discriminator, real, fake, labels, loss=self.hparams["loss"], augment=shown)
        return loss, {"generator_loss": loss.detach()}

    def _fake(self, labels: Tensor, keys: Tensor) -> Tensor:
        images: Tensor = self.gan.generator(self.gan.generator.latents(keys), labels)
        return images

    def _shown(self, keys: Tensor) -> Augment:
        """How the discriminator sees images: augmented, and with noise as wide as a grey level. Without it real images would
        be told by their values alone, which lie on a grid that generated ones reach when they are rounded, after training."""
        augmented = self.seen_through.of(fold_in(keys, 0))
        blurred = anew(partial(dithered, levels=self.hparams["levels"]), fold_in(keys, 1))
        return lambda images: blurred(augmented(images))

    def on_train_batch_end(self, outputs: Any, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Now and then, lets the controller see how far the discriminator overfits."""
        if self.control is not None and self.augment is not None and self.global_step % OBSERVED == 0:
            self._observe(self.images_of(batch), batch["label"])
            self.log("augment_p", self.seen_through.p)

    @torch.no_grad()
    def _observe(self, real: Tensor, labels: Tensor) -> None:
        keys = self.step_keys(len(real))
        show = self._shown(fold_in(keys, 5))

        def scores(images: Tensor) -> Tensor:
            found: Tensor = self.gan.discriminator(show(images), labels)
            return cast(Tensor, self.all_gather(found)).flatten()

        if isinstance(self.control, HoldoutP):
            held_out = self._held_out[0].images_for(labels, fold_in(keys, 6)).to(real.dtype)
            fake = self._fake(labels, fold_in(keys, 7)).to(real.dtype)
            self.control.update_scores(scores(real), scores(held_out), scores(fake))
        elif self.control is not None:
            self.control.update(scores(real))

    def configure_optimizers(self) -> Any:
        """Adam without momentum for both."""
        return self.without_momentum(self.gan.generator.parameters(), self.gan.discriminator.parameters())
