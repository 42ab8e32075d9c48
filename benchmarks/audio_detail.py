"""What does a made sound lack, by which it teaches a classifier nothing?

Vowels of the demo, two rare classes of eight clips each. In their place the classifier gets spare real clips; those through the
codec and back; those through the VAE too; and samples of the VAE with what it leaves out given back in several ways. Recall
of the rare classes on the test half, C2ST of log-spectra against it (0.5: alike), and how near samples come to training clips.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from rows import Row, row, write
from torch import Tensor

from torchaug.data import Bank, BankWriter, TensorWaveforms, imbalanced_split, load
from torchaug.evaluate.features import spectra
from torchaug.evaluate.fidelity import c2st, nearest_neighbour_ratio
from torchaug.keys import fold_in, noise, sample_keys, uniforms
from torchaug.training.arms import ARMS, train_arm
from torchaug.training.audio import LitAudioVAE
from torchaug.training.audio_arms import audio_recipe
from torchaug.training.fit import fit
from torchaug.training.load import load_generator

RARE, FEW, MANY, MADE = [1, 4], 8, 60, 104
ARM = {arm.name: arm for arm in ARMS}
Pools = dict[str, tuple[Tensor, Tensor]]


def without(data: TensorWaveforms, *parts: TensorWaveforms) -> TensorWaveforms:
    """The clips of rare classes that none of the parts has."""
    used = {clip.numpy().tobytes() for part in parts for clip in part.windows()}
    assert data.labels is not None
    spare = [i for i, clip in enumerate(data.windows()) if clip.numpy().tobytes() not in used]
    return data.subset([i for i in spare if int(data.labels[i]) in RARE])


def noises(left: Tensor, keys: Tensor) -> dict[str, Tensor]:
    """Noise like what was left out of training clips, (N, mels, frames): (B, mels, frames) each."""
    e = noise(uniforms(fold_in(keys, 9), 2), left.shape[1:])
    scale = left.square().mean()
    mels = torch.linalg.cholesky(torch.einsum("nmt,nkt->mk", left, left) / (len(left) * left.shape[2]))
    frames = torch.einsum("nmt,nms->ts", left, left) / (len(left) * left.shape[1] * scale)
    frames = torch.linalg.cholesky(frames + 1e-4 * torch.eye(len(frames)))  # the last ones are silent in many clips
    return {"noise, one variance": scale.sqrt() * e, "noise, correlated as what was left out": mels @ e @ frames.T}


@torch.no_grad()
def pools(generator: LitAudioVAE, train: TensorWaveforms, spare: TensorWaveforms, seed: int) -> Pools:
    """Waveforms and labels of rare classes, by how they came about."""
    codec, audio = generator.codec, generator.audio
    assert train.labels is not None
    assert spare.labels is not None
    images, real = codec.encode(spare.waveforms, spare.lengths), spare.labels
    decoded = images - audio.left_out(images, real)[:, None]
    labels = torch.tensor(RARE).repeat_interleave(MADE)
    keys = sample_keys(torch.arange(len(labels)), seed=seed)
    smooth = audio.vae.generate(labels, keys)
    left = audio.left_out(codec.encode(train.waveforms, train.lengths), train.labels)
    own = [left[train.labels == label] for label in labels.tolist()]
    own = [some[int(u * len(some))] for some, u in zip(own, uniforms(keys, 1)[:, 0].tolist(), strict=True)]
    found = {
        "spare real clips": (spare.windows(), real),
        "those through the codec": (codec.decode(images, spare.lengths), real),
        "those through codec and VAE": (codec.decode(decoded, spare.lengths), real),
        "samples as decoded": (codec.decode(smooth), labels),
        "samples, detail of any real clip": (audio.generate(labels, keys), labels),
    }
    given = {"detail of the class's own clips": torch.stack(own), **noises(left, keys)}
    return found | {
        f"samples, {name}": (codec.decode((smooth + more[:, None]).clamp(0, 1)), labels) for name, more in given.items()
    }


def bank(waveforms: Tensor, labels: Tensor, data: TensorWaveforms, folder: Path) -> Bank:
    attributes, classes = {"sample_rate": data.sample_rate}, data.classes or []
    with BankWriter(folder, config={}, trained_on=None, generator="", classes=classes, attributes=attributes) as writer:
        writer.write(0, {"waveform": waveforms.float()}, labels, torch.arange(len(labels)))
    return Bank(folder)


def of_seed(seed: int, synthetic: str, oversampled: str) -> dict[str, list[float]]:
    """Recall, C2ST and nearest-neighbour ratio of each pool."""
    data = load("vowels").in_memory()
    assert isinstance(data, TensorWaveforms)
    train, test = imbalanced_split(data, rare=RARE, n_rare=FEW, n_common=MANY, seed=seed)
    recipe = audio_recipe(data.sample_rate)
    assert test.labels is not None
    held = spectra(test.subset([i for i, label in enumerate(test.labels.tolist()) if label in RARE]).windows())
    seen = spectra(train.windows())
    found = {oversampled: [train_arm(ARM[oversampled], train, test, None, RARE, recipe, seed).rare_recall]}
    with tempfile.TemporaryDirectory() as folder:
        steps, size, settings = recipe.generator_steps, recipe.batch_size, recipe.settings
        path = fit(recipe.kind, train, out=folder, steps=steps, seed=seed, batch_size=size, settings=settings, every=0)
        generator = load_generator(path)
        assert isinstance(generator, LitAudioVAE)
        for name, (waveforms, labels) in pools(generator, train, without(data, train, test), seed).items():
            made, log = bank(waveforms, labels, data, Path(folder) / name), spectra(waveforms)
            recall = train_arm(ARM[synthetic], train, test, made, RARE, recipe, seed).rare_recall
            found[f"{synthetic}: {name}"] = [recall, c2st(held, log), nearest_neighbour_ratio(seen, log, held)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--augmented", action="store_true", help="with augmentation, which takes several times as long")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arms = ("real + synthetic", "real + oversampling")
    if arguments.augmented:
        arms = ("real + augmentation + synthetic", "real + oversampling + augmentation")
    results = [of_seed(seed, *arms) for seed in range(arguments.seeds)]
    rows: list[Row] = []
    for name in results[0]:
        for kind, values in zip(("rare recall", "C2ST", "nearness"), zip(*(r[name] for r in results), strict=True)):  # noqa: B905
            rows.append(row(f"{name}: {kind}", list(values), ""))
    write("audio_detail", rows, ("torch",), suffix="-augmented" if arguments.augmented else "")


if __name__ == "__main__":
    main()
