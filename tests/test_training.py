from __future__ import annotations

import functools
import logging
import random
import signal
import warnings
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.strategies import DDPStrategy
from PIL import Image
from torch import Tensor, nn

from torchaug.compose import Compose
from torchaug.data import Bank, TensorImages, fingerprint, item_hashes
from torchaug.image import CutMix, MixUp, Mosaic, RandomAffine, Resize
from torchaug.keys import fold_in, sample_keys
from torchaug.models.privacy import Privacy
from torchaug.models.vae import ImageVAE
from torchaug.training.callbacks import ReportProgress, SampleGrid
from torchaug.training.data import EndlessSampler, SynthesisDataModule, class_weights, held_out
from torchaug.training.fit import FILE, fit
from torchaug.training.gan import LitGAN
from torchaug.training.generator import LitGenerator
from torchaug.training.image_generator import LitImageGenerator
from torchaug.training.images import grey_levels
from torchaug.training.load import load_generator
from torchaug.training.private import PrivateData
from torchaug.training.private_tables import PRIVATE
from torchaug.training.quiet import quiet
from torchaug.training.synthesize import synthesize
from torchaug.training.synthesizer import Synthesizer
from torchaug.training.vae import LitVAE

SMALL: dict[str, Any] = {"latent": 4}
KINDS: dict[str, type[LitVAE | LitGAN]] = {"vae": LitVAE, "gan": LitGAN}


def shapes(count: int = 30, seed: int = 0) -> TensorImages:
    """Bars: class "across" in rows, class "down" in columns; the second is rarer. Five grey levels."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(count) % 3 == 2).long()
    images = torch.zeros(count, 1, 8, 8, dtype=torch.uint8)
    for image, label, place in zip(images, labels, torch.randint(0, 8, (count,), generator=generator), strict=True):
        (image[:, place] if label == 0 else image[:, :, place]).fill_(255)
    noise = torch.randint(0, 3, images.shape, generator=generator) * 64
    return TensorImages((images.int() + noise).clamp(max=255).to(torch.uint8), labels, ["across", "down"])


def trainer(folder: Path, steps: int, **options: Any) -> L.Trainer:
    return L.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=options.pop("logger", False),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )


def module(kind: str, steps: int = 8, augment: Any = None) -> LitVAE | LitGAN:
    torch.manual_seed(0)
    return KINDS[kind]((1, 8, 8), shapes().classes, steps, augment=augment, **SMALL)


def train(lit: LitGenerator, folder: Path, steps: int, after: Path | None = None, **options: Any) -> L.Trainer:
    with quiet():
        done = trainer(folder, steps, **options)
        done.fit(lit, SynthesisDataModule(shapes(), batch_size=8), ckpt_path=after, weights_only=True)
    return done


def state(lit: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in lit.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("generators")
    return {
        kind: fit(kind, shapes(), out=folder / kind, steps=6, batch_size=8, settings=SMALL, every=0) for kind in KINDS
    }


# The data


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.sampled_from(["none", "sqrt", "full"]))
def test_a_pass_draws_each_item_as_often_as_its_weight_says(labels: list[int], balance: str) -> None:
    weights = class_weights(torch.tensor(labels), balance)  # type: ignore[arg-type]
    drawn = torch.tensor(list(islice(EndlessSampler(weights, seed=3), len(labels))))
    counts = drawn.bincount(minlength=len(labels))
    assert ((counts >= (weights - 1e-9).floor()) & (counts <= (weights + 1e-9).ceil())).all()


@pytest.mark.parametrize(("balance", "ratio"), [("none", 9.0), ("sqrt", 3.0), ("full", 1.0)])
def test_balance_sets_how_much_oftener_a_common_class_is_drawn(balance: Any, ratio: float) -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    sampler = EndlessSampler(class_weights(labels, balance))
    counts = labels[list(islice(sampler, 10_000))].bincount()
    assert counts[0] / counts[1] == pytest.approx(ratio, rel=0.02)


@given(st.integers(0, 50), st.integers(1, 3))
def test_the_stream_goes_on_where_it_stopped_and_ranks_share_it(start: int, world: int) -> None:
    weights = torch.ones(7)
    whole = list(islice(EndlessSampler(weights, seed=1), 120))
    assert list(islice(EndlessSampler(weights, seed=1, start=start), 60)) == whole[start : start + 60]
    ranks = [islice(EndlessSampler(weights, seed=1, rank=r, world_size=world), 20) for r in range(world)]
    assert [i for turn in zip(*ranks, strict=True) for i in turn] == whole[: 20 * world]


def test_the_stream_depends_on_its_seed_and_on_no_global_state() -> None:
    before = torch.get_rng_state(), random.getstate()
    one, two = (list(islice(EndlessSampler(torch.ones(20), seed=seed), 40)) for seed in (1, 2))
    assert one != two
    assert one[:20] != one[20:]
    after = torch.get_rng_state(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]


def test_a_stream_without_an_end_has_no_length_and_bad_weights_are_refused() -> None:
    with pytest.raises(TypeError, match="it has no end"):
        len(EndlessSampler(torch.ones(2)))
    with pytest.raises(ValueError, match="not all 0"):
        EndlessSampler(torch.zeros(2))
    with pytest.raises(ValueError, match="one of none, sqrt, full, got 'half'"):
        class_weights(torch.tensor([0]), "half")  # type: ignore[arg-type]


def test_the_holdout_is_stratified_fixed_and_never_trained_on() -> None:
    data = SynthesisDataModule(shapes(30), holdout=0.2, seed=4)
    assert data.holdout is not None
    assert data.holdout.labels.bincount().tolist() == [4, 2]
    assert len(data.train) == 24
    assert torch.equal(held_out(shapes().labels, 0.2, 4), held_out(shapes().labels, 0.2, 4))
    assert not torch.equal(held_out(shapes().labels, 0.2, 4), held_out(shapes().labels, 0.2, 5))
    assert SynthesisDataModule(shapes()).holdout is None
    with pytest.raises(ValueError, match=r"holdout in \[0, 1\), got 64 and 1"):
        SynthesisDataModule(shapes(), holdout=1.0)
    with pytest.raises(
        TypeError, match="expected a data set of torchaug, such as TensorImages or TableDataset, got a Tensor"
    ):
        SynthesisDataModule(torch.zeros(3, 1, 8, 8))  # type: ignore[arg-type]


def test_batches_carry_images_labels_and_places() -> None:
    data = shapes()
    batch = next(iter(SynthesisDataModule(data, batch_size=8).train_dataloader()))
    assert torch.equal(batch["image"], data.images[batch["index"]])
    assert torch.equal(batch["label"], data.labels[batch["index"]])
    assert batch["image"].shape == (8, 1, 8, 8)


class Places(L.Callback):
    """Notes which samples each batch has."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append(batch["index"].tolist())


@pytest.mark.parametrize(("kind", "accumulated"), [("vae", 1), ("gan", 1), ("vae", 2)])
def test_the_stream_goes_on_over_epochs_and_over_a_resume_between_them(
    kind: str, accumulated: int, tmp_path: Path
) -> None:
    def run(epochs: int, after: Path | None = None) -> tuple[list[list[int]], L.Trainer]:
        places = Places()
        options: dict[str, Any] = {"max_epochs": epochs, "limit_train_batches": 4, "callbacks": [places]}
        done = train(module(kind, 16), tmp_path, -1, after, accumulate_grad_batches=accumulated, **options)
        return places.seen, done

    whole, _ = run(4)
    data = SynthesisDataModule(shapes(), batch_size=8)
    stream = list(islice(EndlessSampler(data.weights), 16 * 8))
    assert whole == [stream[start : start + 8] for start in range(0, 16 * 8, 8)]
    half, done = run(2)
    done.save_checkpoint(tmp_path / "half.ckpt")
    assert half + run(4, tmp_path / "half.ckpt")[0] == whole


def test_each_of_several_processes_goes_on_where_all_of_them_are() -> None:
    data = SynthesisDataModule(shapes(), batch_size=4)
    data.trainer = SimpleNamespace(global_rank=1, world_size=2, global_step=0, accumulate_grad_batches=3)  # type: ignore[assignment]
    loader = data.train_dataloader()
    data.trainer.global_step = 5  # type: ignore[misc, union-attr]
    stream = list(islice(EndlessSampler(data.weights), 200))
    assert next(iter(loader))["index"].tolist() == stream[5 * 3 * 4 * 2 + 1 :: 2][:4]


# Training


@pytest.mark.parametrize("kind", KINDS)
def test_k_steps_and_k_more_end_in_the_bits_of_2k_steps(kind: str, tmp_path: Path) -> None:
    augment = Compose([RandomAffine(10, interpolation="bilinear")])
    whole = module(kind, 8, augment)
    train(whole, tmp_path, 8)
    half = train(module(kind, 8, augment), tmp_path, 4)
    half.save_checkpoint(tmp_path / "half.ckpt")
    torch.rand(17)  # the global generator's state does not matter
    resumed = module(kind, 8, augment)
    train(resumed, tmp_path, 8, after=tmp_path / "half.ckpt")
    assert same(state(whole), state(resumed))
    other = module(kind, 8, Compose([RandomAffine(20, interpolation="bilinear")]))
    train(other, tmp_path, 8)
    assert not same(state(whole), state(other))


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_the_trainer_is_one_batch(kind: str, tmp_path: Path) -> None:
    lit = module(kind)
    done = train(lit, tmp_path, 5)
    assert done.global_step == 5
    assert lit.ema.seen == 5 * 8


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_samples_with_one_call_as_the_trained_module_does(kind: str, tmp_path: Path) -> None:
    lit = module(kind)
    train(lit, tmp_path, 5).save_checkpoint(tmp_path / "a.ckpt")
    labels, keys = torch.tensor([0, 1, 1]), sample_keys(torch.arange(3))
    loaded = KINDS[kind].load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert torch.equal(loaded.generate(labels, keys), lit.generate(labels, keys))
    assert (loaded.shape, loaded.classes) == ((1, 8, 8), ["across", "down"])
    assert loaded.trained_on == fingerprint(shapes())
    assert loaded.trained_items is not None
    assert torch.equal(loaded.trained_items, item_hashes(shapes()))
    assert isinstance(loaded, Synthesizer)


def test_every_checkpoint_of_a_vae_has_a_posterior_fitted_to_the_averaged_weights(tmp_path: Path) -> None:
    lit = module("vae")
    train(lit, tmp_path, 5).save_checkpoint(tmp_path / "a.ckpt")
    assert lit.trained_on is not None
    averaged = LitVAE.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True).averaged
    assert isinstance(averaged, ImageVAE)
    means = averaged.aggregated.means.clone()
    assert averaged.aggregated.fitted.all()
    averaged.fit_posterior(shapes().images / 255, shapes().labels)
    torch.testing.assert_close(averaged.aggregated.means, means)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_module_is_ready_to_sample_without_a_checkpoint(kind: str, tmp_path: Path) -> None:
    lit = module(kind)
    done = train(lit, tmp_path, 3)
    labels, keys = torch.tensor([0, 1, 1]), sample_keys(torch.arange(3))
    made = lit.generate(labels, keys)
    assert lit.trained_on == fingerprint(shapes())
    assert lit.shares == pytest.approx([2 / 3, 1 / 3])
    done.save_checkpoint(tmp_path / "a.ckpt")
    assert torch.equal(KINDS[kind].load_from_checkpoint(tmp_path / "a.ckpt").generate(labels, keys), made)


def test_a_privately_trained_module_knows_what_it_has_cost(tmp_path: Path) -> None:
    data = PrivateData(shapes(), Privacy(epsilon=8, delta=1e-3), 3, 8)
    lit = PRIVATE["vae"].for_data(data.train, 3, settings=SMALL)
    with quiet():
        trainer(tmp_path, 3).fit(lit, data)
    assert lit.privacy == data.card(3)
    assert not lit.averaged.aggregated.fitted.any()  # type: ignore[operator, union-attr]


def test_a_vae_gets_better_with_training(tmp_path: Path) -> None:
    losses: list[float] = []
    fit("vae", shapes(), out=tmp_path, steps=60, batch_size=16, settings=SMALL, every=0,
        progress=lambda done, total, metrics: losses.append(metrics["reconstruction"]))  # fmt: skip
    assert len(losses) == 6
    assert losses[-1] < 0.93 * losses[0]


@pytest.mark.parametrize("precision", ["16-mixed", "16-true", "bf16-true"])
def test_half_precision_is_refused_for_the_gan(precision: str) -> None:
    lit = module("gan")
    lit._trainer = type("Fake", (), {"strategy": None, "precision": precision})()
    with pytest.raises(ValueError, match=f"expected precision 32-true or bf16-mixed or 64-true, got {precision}"):
        lit.on_fit_start()


# Loading


def test_a_generator_is_loaded_by_the_kind_in_its_checkpoint(checkpoints: dict[str, Path]) -> None:
    assert isinstance(load_generator(checkpoints["vae"]), LitVAE)
    assert isinstance(load_generator(checkpoints["gan"]), LitGAN)


class Other(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)


def test_what_is_no_generator_is_refused_with_its_path_and_what_was_found(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "x.ckpt"
    with pytest.raises(FileNotFoundError, match=r"expected a checkpoint at .*x\.ckpt, found no such file"):
        load_generator(file)
    file.write_text("hello")
    with pytest.raises(ValueError, match=r"x\.ckpt, found a file that torch cannot read safely"):
        load_generator(file)
    torch.save(torch.zeros(2), file)
    with pytest.raises(ValueError, match=r"in .*x\.ckpt, found a Tensor"):
        load_generator(file)
    torch.save({"model": 1}, file)
    with pytest.raises(ValueError, match=r"found entries \['model'\]"):
        load_generator(file)
    torch.save({"state_dict": Other().state_dict()}, file)
    with pytest.raises(
        ValueError, match=r"expected a checkpoint of one of vae, gan, .* in .*, found weights of \['layer'\]"
    ):
        load_generator(file)
    whole = torch.load(checkpoints["vae"], weights_only=True)
    for number, advice in ((99, "update torchaug"), (1, "train it anew")):
        torch.save({**whole, "torchaug": {**whole["torchaug"], "format": number}}, file)
        with pytest.raises(ValueError, match=rf"expected format 2 in .*, found {number}; .*{advice}"):
            load_generator(file)
    torch.save({**whole, "torchaug": {"kind": "flow"}}, file)
    with pytest.raises(ValueError, match="found 'flow'"):
        load_generator(file)
    file.write_bytes(checkpoints["vae"].read_bytes()[:5000])
    with pytest.raises(ValueError, match="cannot read safely"):
        load_generator(file)


def test_a_checkpoint_that_would_run_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match="cannot read safely"):
        load_generator(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


# fit


def test_fit_is_silent_leaves_a_checkpoint_a_picture_and_no_trace_in_the_random_numbers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before, level = torch.get_rng_state(), logging.getLogger("lightning.pytorch").level
    path = fit("vae", shapes(), out=tmp_path / "out", steps=2, batch_size=8, settings=SMALL)
    assert path == tmp_path / "out" / FILE
    left = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file())
    assert left == [f"out/{FILE}", "out/samples-0000002.png"]
    assert capfd.readouterr() == ("", "")
    assert torch.equal(before, torch.get_rng_state())
    assert logging.getLogger("lightning.pytorch").level == level


def test_ctrl_c_stays_a_keyboard_interrupt_and_works_twice(tmp_path: Path) -> None:
    def interrupt(done: int, total: int, metrics: dict[str, float]) -> None:
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit("vae", shapes(), out=tmp_path, steps=10, batch_size=8, settings=SMALL, progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("every", [0, 500])
def test_ctrl_c_saves_after_the_step_and_resuming_loses_nothing(tmp_path: Path, every: int) -> None:
    calls = 0

    def press(images: Tensor, *, keys: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            signal.raise_signal(signal.SIGINT)  # in the middle of a step
        return images

    def train_in(folder: str, augment: Any, **options: Any) -> dict[str, Any]:
        options |= {"steps": 6, "batch_size": 8, "settings": SMALL, "every": every, "augment": augment}
        fit("vae", shapes(), out=tmp_path / folder, **options)
        return read(folder)

    def read(folder: str) -> dict[str, Any]:
        checkpoint: dict[str, Any] = torch.load(tmp_path / folder / FILE, weights_only=True)
        return checkpoint

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train_in("cut", press)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert read("cut")["global_step"] == 3
        resumed, whole = (train_in(folder, lambda images, **_: images, resume=True) for folder in ("cut", "whole"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert resumed["global_step"] == whole["global_step"] == 6
    assert all(torch.equal(resumed["state_dict"][name], value) for name, value in whole["state_dict"].items())


def test_a_second_ctrl_c_does_not_wait_and_an_ignored_one_stays_ignored(tmp_path: Path) -> None:
    def press_twice(images: Tensor, **_: Any) -> Tensor:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return images

    options: dict[str, Any] = {"steps": 2, "batch_size": 8, "settings": SMALL, "augment": press_twice}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit("vae", shapes(), out=tmp_path, **options)
        assert not (tmp_path / FILE).exists()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert fit("vae", shapes(), out=tmp_path, **options).exists()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_grid_of_a_vae_uses_a_posterior_fitted_to_its_weights_at_that_step(tmp_path: Path) -> None:
    lit = module("vae")
    assert isinstance(lit, LitVAE)
    train(lit, tmp_path, 3, callbacks=[SampleGrid(3)])
    assert isinstance(lit.averaged, ImageVAE)
    assert lit.averaged.aggregated.fitted.all()


def test_a_checkpoint_of_the_other_kind_is_refused_by_the_module_too(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="LitVAE: expected a checkpoint of kind vae, got gan"):
        LitVAE.load_from_checkpoint(checkpoints["gan"], weights_only=True)


@pytest.mark.parametrize(("number", "advice"), [(1, "train it anew"), (99, "update torchaug"), (None, "train it anew")])
def test_a_checkpoint_of_another_format_is_refused_by_the_module_too(
    number: int | None, advice: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    checkpoint = torch.load(checkpoints["vae"], weights_only=True)
    checkpoint["torchaug"]["format"] = number
    torch.save(checkpoint, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=f"LitVAE: expected format 2 in the checkpoint, found {number}; .*{advice}"):
        LitVAE.load_from_checkpoint(tmp_path / "other.ckpt", weights_only=True)


@pytest.mark.parametrize("mixing", [MixUp(num_classes=2), CutMix(num_classes=2), Mosaic((8, 8), num_classes=2)])
@pytest.mark.parametrize("kind", KINDS)
def test_an_augmentation_that_mixes_images_is_refused_by_name(kind: str, mixing: Any) -> None:
    with pytest.raises(
        ValueError, match=f"Lit.*: expected .* on its own, got {type(mixing).__name__}, which mixes samples"
    ):
        module(kind, augment=Compose([RandomAffine(10), mixing]))


def test_a_vae_refuses_an_augmentation_to_another_size(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"LitVAE: expected an augment that keeps the size, got \(8, 1, 8, 8\) to \(8, 1, 4, 4\)"
    ):
        fit("vae", shapes(), out=tmp_path, steps=1, batch_size=8, augment=Resize((4, 4)), settings=SMALL)


def test_fit_shows_warnings_that_are_not_expected(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="odd one"), quiet():
        warnings.warn("odd one", stacklevel=1)


def test_the_same_seed_gives_the_same_generator(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": 6, "batch_size": 8, "settings": SMALL, "every": 0}
    again = load_generator(fit("vae", shapes(), out=tmp_path / "a", **options))
    other = load_generator(fit("vae", shapes(), out=tmp_path / "b", seed=1, **options))
    first = load_generator(checkpoints["vae"])
    assert first.digest() == again.digest()
    assert first.digest() != other.digest()


def test_a_killed_fit_goes_on_to_the_same_generator(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    def kill(done: int, total: int, metrics: dict[str, float]) -> None:
        if done == 5:
            raise OSError("killed")

    options: dict[str, Any] = {"steps": 10, "batch_size": 8, "settings": SMALL}
    whole = fit("vae", shapes(), out=tmp_path / "whole", **options, every=0)
    with pytest.MonkeyPatch.context() as patch:
        often = functools.partial(ReportProgress, every_n_steps=1)
        patch.setattr("torchaug.training.run.ReportProgress", often)
        with pytest.raises(OSError, match="killed"):
            fit("vae", shapes(), out=tmp_path / "killed", **options, every=4, progress=kill)
    resumed = fit("vae", shapes(), out=tmp_path / "killed", **options, every=4, resume=True)
    assert load_generator(resumed).digest() == load_generator(whole).digest()
    stamp = resumed.stat().st_mtime_ns
    fit("vae", shapes(), out=tmp_path / "killed", **options, resume=True)
    assert resumed.stat().st_mtime_ns == stamp  # it was done
    for other, text in (
        ({"seed": 1}, "with seed 0, and 1"),
        ({"steps": 11, "balance": "full"}, "with balance sqrt, and full"),
        ({"steps": 11, "batch_size": 4}, "with batch size in all 8, and 4"),
        ({"steps": 11, "trainer": {"accumulate_grad_batches": 2}}, "with batch size in all 8, and 16"),
        ({"settings": {**SMALL, "beta": 0.1}}, "with beta 0.5, and 0.1"),
        ({"augment": Compose([RandomAffine(10)])}, r"with augment None, and Compose\(.*RandomAffine\(.*10.*\)"),
    ):
        with pytest.raises(ValueError, match=f"was trained {text} was asked for; resume with what it was"):
            fit("vae", shapes(), out=tmp_path / "killed", **{**options, **other}, resume=True)
    halves = {"steps": 11, "batch_size": 4, "trainer": {"accumulate_grad_batches": 2}}  # the same samples a step
    fit("vae", shapes(), out=tmp_path / "killed", **{**options, **halves}, resume=True)
    slower = {**options, "steps": 12, "settings": {**SMALL, "learning_rate": 1e-5}}
    assert load_generator(fit("vae", shapes(), out=tmp_path / "killed", **slower, resume=True)).hparams["steps"] == 12


def test_fit_refuses_what_it_cannot_train(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    folder = checkpoints["vae"].parent
    with pytest.raises(FileExistsError, match="already there; pass resume=True"):
        fit("vae", shapes(), out=folder, steps=1)
    with pytest.raises(ValueError, match="was trained with kind vae, and gan was asked for"):
        fit("gan", shapes(), out=folder, steps=1, resume=True)
    other = TensorImages(shapes().images, shapes().labels, ["a", "b"])
    with pytest.raises(ValueError, match=r"with classes \['across', 'down'\], and \['a', 'b'\] was asked for"):
        fit("vae", other, out=folder, steps=1, resume=True)
    with pytest.raises(ValueError, match=r"kind must be one of vae, gan, .*, got 'flow'"):
        fit("flow", shapes(), out=tmp_path)
    wrong: list[dict[str, Any]] = [{"steps": 1, "seconds": 1}, {"steps": 0}, {"steps": -1}, {"seconds": 0}]
    for each in [*wrong, {"seconds": float("nan")}, {"seconds": float("inf")}]:
        with pytest.raises(ValueError, match="expected steps or seconds"):
            fit("vae", shapes(), out=tmp_path, **each)


@pytest.mark.parametrize("kind", KINDS)
def test_one_class_is_enough(kind: str, tmp_path: Path) -> None:
    single = TensorImages(shapes().images, torch.zeros(30, dtype=torch.int64), ["a"])
    path = fit(kind, single, out=tmp_path, steps=2, batch_size=8)
    assert load_generator(path).sample(3).shape == (3, 1, 8, 8)


def test_fit_for_some_seconds_plans_the_steps_by_the_first_ones(tmp_path: Path) -> None:
    done: list[int] = []
    fit("vae", shapes(), out=tmp_path, seconds=1.0, batch_size=8, settings=SMALL, every=0,
        progress=lambda step, total, metrics: done.append(total))  # fmt: skip
    assert done[-1] > 5
    assert load_generator(tmp_path / FILE).hparams["steps"] == done[-1]


def test_settings_follow_the_images() -> None:
    assert LitGAN.default_settings(shapes()) == {"preset": "tiny", "levels": 5, "learning_rate": 2e-3, "lazy": 4}
    large = TensorImages(torch.arange(256).repeat(16 * 3).to(torch.uint8).view(1, 3, 64, 64), torch.tensor([0]), ["a"])
    settings = LitVAE.default_settings(large)
    assert (settings["levels"], settings["latent"], settings["likelihood"]) == (256, 128, "gaussian")
    assert grey_levels(torch.tensor([0, 255], dtype=torch.uint8)) == 2


# Watching


class Board:
    def __init__(self) -> None:
        self.images: list[tuple[str, Tensor, int]] = []

    def add_image(self, name: str, image: Tensor, step: int) -> None:
        self.images.append((name, image, step))


class BoardLogger(DummyLogger):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.board = folder, Board()

    @property
    def experiment(self) -> Any:
        return self.board

    @property
    def log_dir(self) -> str:
        return str(self.folder)


def test_sample_grids_go_to_the_log_folder_and_to_a_logger_that_takes_images(tmp_path: Path) -> None:
    logger = BoardLogger(tmp_path / "log")
    train(module("gan"), tmp_path, 4, callbacks=[SampleGrid(2, per_class=3)], logger=logger)
    assert sorted(file.name for file in tmp_path.rglob("*.png")) == ["samples-0000002.png", "samples-0000004.png"]
    with Image.open(next(tmp_path.rglob("*4.png"))) as picture:
        assert picture.size == (3 * 9 + 1, 2 * 9 + 1)
    assert [(name, step) for name, _, step in logger.board.images] == [("samples", 2), ("samples", 4)]
    with pytest.raises(ValueError, match="SampleGrid: every_n_steps must be at least 1, got 0"):
        SampleGrid(0)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_images_of_any_channels_are_shown_one_channel_beside_the_other(channels: int, tmp_path: Path) -> None:
    images = torch.randint(0, 256, (12, channels, 9, 13), dtype=torch.uint8)
    path = fit(
        "vae", TensorImages(images, torch.arange(12) % 2, ["a", "b"]), out=tmp_path, steps=2, every=2, batch_size=4
    )
    with Image.open(tmp_path / "samples-0000002.png") as picture:
        found = torch.from_numpy(np.array(picture))
    generator = load_generator(path)
    keys = sample_keys(torch.arange(16))  # eight of each class
    made = generator.make(torch.tensor([0, 1]).repeat_interleave(8), keys)["image"]
    width = 13 * channels + 1
    assert found.shape == (2 * 10 + 1, 8 * width + 1, 3)
    for channel in range(channels):
        first = found[1:10, 1 + 13 * channel : 14 + 13 * channel]  # of the first sample
        assert (first.int() - made[0, channel, :, :, None].int()).abs().max() <= 1


def test_what_cannot_be_drawn_stops_no_training(tmp_path: Path) -> None:
    (tmp_path / "samples-0000002.png").mkdir()  # a file of that name cannot be written
    with pytest.warns(
        UserWarning, match=r"the samples of step 2 could not be shown \(IsADirectoryError.*training goes on"
    ):
        path = fit("vae", shapes(), out=tmp_path, steps=4, every=2, batch_size=8, settings=SMALL)
    assert torch.load(path, weights_only=True)["global_step"] == 4
    assert (tmp_path / "samples-0000004.png").is_file()


# synthesize


def bank_bytes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bank_is_the_same_whatever_the_batch_size_and_interruptions(
    kind: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    generator = load_generator(checkpoints[kind])
    counts: dict[int | str, int] = {"down": 21, 0: 10}
    before = state(generator)
    options: dict[str, Any] = {"seed": 5, "shard_size": 8}
    bank = synthesize(generator, counts, tmp_path / "whole", **options)
    assert bank.in_memory().labels.bincount().tolist() == [10, 21]
    for size in (1, 3, 5):
        synthesize(generator, counts, tmp_path / str(size), batch_size=size, **options)
        assert bank_bytes(tmp_path / str(size)) == bank_bytes(tmp_path / "whole")

    def interrupt(done: int, total: int) -> None:
        if done > 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(generator, counts, tmp_path / "cut", batch_size=2, progress=interrupt, **options)
    assert len(list((tmp_path / "cut").glob("shard-*.safetensors"))) == 2
    seen: list[tuple[int, int]] = []
    synthesize(generator, counts, tmp_path / "cut", progress=lambda *done: seen.append(done), **options)
    assert bank_bytes(tmp_path / "cut") == bank_bytes(tmp_path / "whole")
    assert seen[-1] == (31, 31)
    assert same(state(generator), before)


def test_images_of_a_bank_are_those_of_sample(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    generator = load_generator(checkpoints["vae"])
    bank = synthesize(generator, {1: 4}, tmp_path, seed=2)
    assert isinstance(generator, LitImageGenerator)
    keys = fold_in(sample_keys(torch.arange(4), seed=2), torch.ones(4, dtype=torch.int64))
    expected = generator.double().generate(torch.ones(4, dtype=torch.int64), keys)
    assert torch.equal(bank.in_memory().images, (expected * 255).round().to(torch.uint8))


def test_samples_are_the_first_of_a_bank(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    generator = load_generator(checkpoints["gan"])
    bank = synthesize(generator, {"across": 3, "down": 2}, tmp_path, seed=4)
    labels = torch.tensor([1, 0, 0, 1, 0])
    mixed = (generator.sample(5, labels, seed=4) * 255).round()
    images = bank.in_memory().images.float()
    assert (mixed - images[[3, 0, 1, 4, 2]]).abs().max() <= 1  # float32 here, float64 there
    assert torch.equal(generator.sample(2, "down", seed=4), mixed[[0, 3]] / 255)
    assert generator.sample(2, seed=4).shape == (2, 1, 8, 8)
    drawn = generator._numbers(4000, None, seed=0).bincount() / 4000
    assert (drawn - shapes().labels.bincount() / 30).abs().max() < 0.03


@pytest.mark.parametrize(
    ("request_", "error", "text"),
    [
        (lambda g: g.sample(0), ValueError, "n must be at least 1, got 0"),
        (lambda g: g.sample(2, "left"), ValueError, r"knows \(across, down\), got 'left'"),
        (lambda g: g.sample(2, 2), ValueError, r"knows \(across, down\), got 2"),
        (
            lambda g: g.sample(2, torch.tensor([0])),
            ValueError,
            r"labels must be \(2,\), a class for each sample, got \(1,\)",
        ),
        (lambda g: g.sample(2, torch.tensor([0, 5])), ValueError, "got 5"),
        (lambda g: g.sample(2, 0, psi=3), TypeError, "expected .*, got psi"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    request_: Any, error: type[Exception], text: str, checkpoints: dict[str, Path]
) -> None:
    with pytest.raises(error, match=text):
        request_(load_generator(checkpoints["gan"]))


def test_settings_of_a_generator_are_remembered_by_its_bank(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    generator = load_generator(checkpoints["vae"])
    bank = generator.synthesize({"down": 3}, tmp_path / "a", settings={"prior": "normal"})
    assert bank is not None
    assert bank.manifest["made_by"][0]["config"]["settings"] == {"prior": "normal"}
    usual = synthesize(generator, {"down": 3}, tmp_path / "b")
    assert not torch.equal(bank.in_memory().images, usual.in_memory().images)


def test_more_images_of_one_class_change_no_others(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    generator = load_generator(checkpoints["gan"])
    few = synthesize(generator, {0: 3, 1: 4}, tmp_path / "few")
    more = synthesize(generator, {0: 9, 1: 4}, tmp_path / "more")
    assert torch.equal(few.in_memory().images[:3], more.in_memory().images[:3])
    assert torch.equal(few.in_memory().images[3:], more.in_memory().images[9:])
    assert len(few.in_memory().images.flatten(1).unique(dim=0)) > 1


def test_a_bank_knows_what_its_generator_was_trained_on(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    synthesize(load_generator(checkpoints["vae"]), {0: 2}, tmp_path)
    bank = Bank(tmp_path)
    assert bank.trained_on[0] == fingerprint(shapes())
    assert bank.trained_items is not None
    assert torch.equal(bank.trained_items, item_hashes(shapes()))
    assert bank.manifest["made_by"][0]["generator"] == load_generator(checkpoints["vae"]).digest()


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"left": 3}, r"a class the generator knows \(across, down\), got 'left'"),
        ({2: 3}, r"a class the generator knows \(across, down\), got 2"),
        ({0: -1}, "one count of at least 0 for class 0, got -1"),
        ({0: 1, "across": 2}, "for class 'across', got two counts"),
        ({0: 0}, "at least one sample to make"),
        ({0: 3.5}, "expected a whole number of samples for class 0, got 3.5"),
        ({"down": True}, "expected a whole number of samples for class 'down', got True"),
        (7, r"expected counts of the classes across, down, got 7"),
        ({}, "at least one sample to make"),
    ],
)
def test_counts_that_cannot_be_made_are_refused(
    counts: Any, text: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=text):
        synthesize(load_generator(checkpoints["vae"]), counts, tmp_path / "bank")
    assert not (tmp_path / "bank").exists()


def test_counts_may_be_whole_numbers_of_any_kind(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    counts: Any = {np.int64(0): np.int64(2), "down": torch.tensor(1)}
    assert synthesize(load_generator(checkpoints["vae"]), counts, tmp_path).counts() == {"across": 2, "down": 1}


def test_another_seed_or_generator_does_not_go_into_the_same_bank(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    synthesize(load_generator(checkpoints["vae"]), {0: 2}, tmp_path)
    with pytest.raises(ValueError, match="another config"):
        synthesize(load_generator(checkpoints["vae"]), {0: 2}, tmp_path, seed=1)
    with pytest.raises(ValueError, match="another generator"):
        synthesize(load_generator(checkpoints["gan"]), {0: 2}, tmp_path)


# Several processes, and the GPU


class ReplicasAgree(L.Callback):
    """Fails, in the process where it runs, when ranks differ in weights or share images."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.seen += batch["index"].tolist()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        mine = sum(weight.double().sum().item() for weight in pl_module.parameters()), self.seen
        found: list[Any] = [None, None]
        torch.distributed.all_gather_object(found, mine)
        if found[0][0] != found[1][0] or set(found[0][1]) & set(found[1][1]) or len(self.seen) != 2 * 6:
            raise RuntimeError(f"replicas differ: {found}")


@pytest.mark.slow
def test_a_gan_trains_on_two_processes_with_equal_replicas_and_different_images(tmp_path: Path) -> None:
    lit = module("gan")
    with quiet():
        done = trainer(tmp_path, 2, strategy="ddp_spawn_find_unused_parameters_true", devices=2)
        done.callbacks.append(ReplicasAgree())  # type: ignore[attr-defined]
        done.fit(lit, SynthesisDataModule(shapes(), batch_size=6, balance="none"))
    assert lit.ema.seen == 2 * 2 * 6


def test_plain_ddp_is_refused_for_the_gan_before_it_fails(tmp_path: Path) -> None:
    lit = module("gan")
    strategy = DDPStrategy()
    lit._trainer = type("Fake", (), {"strategy": strategy, "precision": "32-true"})()
    with pytest.raises(ValueError, match='expected strategy="ddp_find_unused_parameters_true", got plain DDP'):
        lit.on_fit_start()


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_makes_the_images_of_a_cpu(kind: str, checkpoints: dict[str, Path]) -> None:
    generator = load_generator(checkpoints[kind]).double()
    assert isinstance(generator, LitImageGenerator)
    labels, keys = torch.arange(64) % 2, sample_keys(torch.arange(64))
    expected = generator.generate(labels, keys)
    assert torch.equal(generator.cuda().generate(labels.cuda(), keys.cuda()).cpu(), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_makes_the_bank_of_a_cpu(kind: str, checkpoints: dict[str, Path], tmp_path: Path) -> None:
    for device in ("cpu", "auto"):
        generator = load_generator(checkpoints[kind])
        synthesize(generator, {0: 40, 1: 40}, tmp_path / device, shard_size=32, device=device)
    assert bank_bytes(tmp_path / "auto") == bank_bytes(tmp_path / "cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_trains_on_a_gpu_through_an_augmentation(kind: str, tmp_path: Path) -> None:
    augment = Compose([RandomAffine(10, interpolation="bilinear")])
    path = fit(kind, shapes(), out=tmp_path, steps=5, batch_size=8, augment=augment, every=2)
    assert load_generator(path).sample(1, 0).isfinite().all()
    fit(kind, shapes(), out=tmp_path, steps=8, batch_size=8, augment=augment, resume=True)
