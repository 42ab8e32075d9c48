"""Sounds: what the way back from log-mels loses, and whether a VAE's variations of few clips help a classifier of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from generators_cells import Cell, Result, Results, interval_row, paired, values
from rows import Row
from torch import Tensor, nn

from torchaug.data import TensorWaveforms, vowels
from torchaug.keys import sample_keys, uniforms
from torchaug.models.networks import seeded_weights
from torchaug.models.phase import griffin_lim, phase_from_slopes, spectrum

SOUNDS = "generators_audio:sounds"
PER_CLASS, PER_CLASS_OF_TEST = 10, 60
VAE_STEPS, STEPS, BATCH = 300, 300, 32
POOL = 6
"""Variations made of each clip."""
TASK: dict[str, Any] = {"seconds": 0.4, "snr_db": 0.0}
ARMS = (
    "masks",
    "reconstructions",
    "variations 0.3",
    "variations 0.6",
    "variations 0.3, as waveforms",
    "masks, variations 0.3",
)


def sounds(data: str, method: str, seed: int) -> Result:
    """Accuracies on test vowels of a classifier of log-mels, by what it was trained on; all arms from equal weights."""
    train, test = vowels(PER_CLASS, seed=seed, **TASK), vowels(PER_CLASS_OF_TEST, seed=1000 + seed, **TASK)
    start = time.process_time()
    generator = _fitted(train, seed)
    result = {"seconds": time.process_time() - start}
    audio, labels = generator.audio, train.labels
    assert labels is not None
    real = generator.codec.encode(train.waveforms, train.lengths)
    tests = generator.codec.encode(test.waveforms, test.lengths)

    def pool(vary: Callable[[Tensor], Tensor], count: int = POOL) -> Tensor:
        return torch.stack([vary(sample_keys(torch.arange(len(real)), seed=seed, epoch=n)) for n in range(count)])

    def waveforms(keys: Tensor) -> Tensor:
        made = audio.variations(train.waveforms, labels, keys, 0.3, train.lengths)
        return generator.codec.encode(made, train.lengths)

    vae = generator.averaged
    pools = {
        "reconstructions": pool(lambda keys: vae.posterior_mix(real, labels, keys, 0.0), 1),
        "variations 0.3": pool(lambda keys: audio.vary(real, labels, keys, 0.3)),
        "variations 0.6": pool(lambda keys: audio.vary(real, labels, keys, 0.6)),
        "variations 0.3, as waveforms": pool(waveforms, 2),
    }
    for arm in ("real", *ARMS):
        some = pools.get(arm.removeprefix("masks, "))
        model = _classifier(real, labels, some, "masks" in arm, seed)
        with torch.no_grad():
            result[arm] = float((model(tests).argmax(1) == test.labels).double().mean())
    return result | _way_back(generator.codec, test)


def _fitted(train: TensorWaveforms, seed: int) -> Any:
    from torchaug.training.fit import fit
    from torchaug.training.load import load_generator

    with tempfile.TemporaryDirectory() as folder:
        settings = {"codec": {"mels": 32}}
        return load_generator(
            fit(
                "audio-vae", train, out=folder, steps=VAE_STEPS, seed=seed, batch_size=BATCH, every=0, settings=settings
            )
        )


def _classifier(images: Tensor, labels: Tensor, pool: Tensor | None, masks: bool, seed: int) -> nn.Module:
    """A small convnet; half of each batch comes from the pool of variations where there is one."""
    with seeded_weights(seed):
        layers = [
            layer
            for a, b in ((1, 16), (16, 32), (32, 64))
            for layer in (nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(8, b), nn.ReLU())
        ]
        model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(128, 5))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        u = uniforms(sample_keys(torch.arange(BATCH), seed=seed, epoch=step), 7)
        rows = (u[:, 0] * len(images)).long()
        batch = images[rows]
        if pool is not None:
            varied = pool[(u[:, 1] * len(pool)).long(), rows]
            batch = torch.where((u[:, 2] < 0.5)[:, None, None, None], varied, batch)
        loss = F.cross_entropy(model(_masked(batch, u[:, 3:]) if masks else batch), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def _masked(images: Tensor, u: Tensor) -> Tensor:
    """SpecAugment's masks: up to a fifth of the mels and up to a fifth of the frames become the mean."""
    kept = torch.ones_like(images, dtype=torch.bool)
    for axis, (width, place) in ((2, (u[:, 0], u[:, 1])), (3, (u[:, 2], u[:, 3]))):
        size = images.shape[axis]
        first = place * size * (1 - width / 5)
        at = torch.arange(size)
        inside = (at >= first[:, None]) & (at < (first + width / 5 * size)[:, None])
        kept &= ~(inside[:, None, :, None] if axis == 2 else inside[:, None, None, :])
    return torch.where(kept, images, images.mean((2, 3), keepdim=True))


def _way_back(codec: Any, test: TensorWaveforms) -> Result:
    """What is lost between a log-mel image and that of the waveform made from it, and between magnitudes alone."""
    some = test.subset(range(0, len(test), 10))
    images = codec.encode(some.waveforms, some.lengths)
    back = codec.encode(codec.decode(images, some.lengths), some.lengths)
    nepers = (images - back) * (codec.high - codec.low) * codec.deviation[:, None]
    magnitude = codec.magnitudes(some.waveforms, some.lengths)
    u = uniforms(sample_keys(torch.arange(len(magnitude))), magnitude[0].numel()).view_as(magnitude)
    phases = {"slopes": phase_from_slopes(magnitude, codec.size, codec.hop), "chance": 2 * torch.pi * u}
    result = {"log-mel dB": float(nepers.abs().mean()) * 8.686}
    for name, phase in phases.items():
        made = spectrum(griffin_lim(magnitude, codec.window, codec.hop, phase=phase), codec.window, codec.hop).abs()
        result[f"convergence, {name}"] = float(
            ((made - magnitude).norm(dim=(1, 2)) / magnitude.norm(dim=(1, 2))).mean()
        )
    return result


def sound_cells(seeds: int, peers: bool) -> list[Cell]:
    return [Cell(SOUNDS, "vowels", "audio-vae", seed) for seed in range(seeds)]


def sound_rows(results: Results) -> list[Row]:
    def of(metric: str) -> dict[int, float]:
        return values(results, SOUNDS, "vowels", "audio-vae", metric)

    rows = [interval_row("vowels, 10 clips a class: real alone", of("real").values(), "accuracy")]
    rows += [
        interval_row(f"vowels, 10 clips a class: {arm} - real", paired(of(arm), of("real")), "accuracy") for arm in ARMS
    ]
    rows += [
        interval_row("vowels: log-mels lost on the way back", of("log-mel dB").values(), "dB"),
        interval_row("vowels: spectral convergence, phase by slopes", of("convergence, slopes").values(), "share"),
        interval_row("vowels: spectral convergence, phase by chance", of("convergence, chance").values(), "share"),
        interval_row("vowels: training of the VAE", of("seconds").values(), "CPU s"),
    ]
    return rows
