"""From a generator to a bank on disk: deterministic, resumable, a few images at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from torchaug.data.bank import Bank, BankWriter
from torchaug.keys import fold_in, sample_keys
from torchaug.models.synthesizer import Synthesizer


class Shard(NamedTuple):
    """The part of a plan that goes into one file: (n,) int64 each."""

    number: int
    labels: Tensor
    ids: Tensor
    keys: Tensor


def plan_shards(labels: Tensor, numbers: Tensor, *, seed: int, shard_size: int) -> Iterator[Shard]:
    """Cuts a plan into shards.

    The key of a sample is a function of the seed, its class and its number within the class: asking for more images of
    one class later gives the same first ones, and changes no other class.

    >>> shards = plan_shards(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]), seed=0, shard_size=2)
    >>> [(shard.labels.tolist(), shard.ids.tolist()) for shard in shards]
    [([0, 0], [0, 1]), ([1], [2])]
    """
    keys = fold_in(sample_keys(numbers, seed=seed), labels)
    ids = torch.arange(len(labels))
    for number, start in enumerate(range(0, len(labels), shard_size)):
        part = slice(start, start + shard_size)
        yield Shard(number, labels[part], ids[part], keys[part])


def synthesize(
    generator: Synthesizer,
    counts: Mapping[int, int] | Mapping[str, int] | Mapping[int | str, int],
    path: str | Path,
    *,
    seed: int = 0,
    shard_size: int = 1024,
    batch_size: int = 256,
    dtype: torch.dtype = torch.float64,
    progress: Callable[[int, int], None] | None = None,
) -> Bank:
    """Makes `counts[c]` images of each class c and writes them to a bank; run again, it goes on where it stopped.

    The same generator, counts, seed and shard size give the same bank, byte for byte, whatever the batch size and
    however often it was interrupted. Images are computed in float64 for this: in float32 the last bits of a
    convolution depend on the batch size, and one pixel in some hundred thousand would round to another value.

    Args:
        generator: a module that is a `Synthesizer`, such as `load_generator(path)`; it is not changed.
        counts: images of each class, by number or by name.
        path: folder of the bank.
        seed: of all samples.
        shard_size: images in a file; a kill loses at most one file.
        batch_size: images made at once.
        dtype: of the computation; float32 is faster, but then only equal batch sizes give equal banks.
        progress: called with (images done, images in all) after each batch.

    Raises:
        ValueError: a class that the generator does not know; a count below 0, or none above; a bank of another
            generator, seed or plan in the folder.
        OSError: the disk is full; what is written stays, and a rerun completes it.
    """
    labels, numbers = _requests(generator, counts)
    if batch_size < 1:
        raise ValueError(f"synthesize: batch_size must be at least 1, got {batch_size}")
    wanted = {generator.classes[c]: int((labels == c).sum()) for c in labels.unique().tolist()}
    # the model's seed and dtype decide the images; batch size and device do not
    config = {"seed": seed, "counts": wanted, "dtype": str(dtype).removeprefix("torch.")}
    done, total = 0, len(labels)
    with BankWriter(
        path,
        config=config,
        trained_on=getattr(generator, "trained_on", None),
        trained_items=getattr(generator, "trained_items", None),
        generator=generator_hash(generator),
        classes=generator.classes,
        shard_size=shard_size,
        samples=total,
    ) as bank:
        model: Synthesizer | None = None
        for shard in plan_shards(labels, numbers, seed=seed, shard_size=shard_size):
            if not bank.has(shard.number):
                model = model or _in_precision(generator, dtype)
                images = []
                for start in range(0, len(shard.ids), batch_size):
                    part = slice(start, start + batch_size)
                    images.append(_make(model, shard.labels[part], shard.keys[part]))
                    if progress is not None:
                        progress(done + start + len(images[-1]), total)
                bank.write(shard.number, {"image": torch.cat(images)}, shard.labels, shard.ids)
            done += len(shard.ids)
            if progress is not None:
                progress(done, total)
    return Bank(path)


def _requests(generator: Synthesizer, counts: Mapping[Any, int]) -> tuple[Tensor, Tensor]:
    """The label of each image, and its number within its class."""
    classes = list(generator.classes)
    wanted: dict[int, int] = {}
    for name, count in counts.items():
        place = classes.index(name) if name in classes else name
        if not isinstance(place, int) or not 0 <= place < len(classes):
            raise ValueError(f"synthesize: expected a class the generator knows ({', '.join(classes)}), got {name!r}")
        if count < 0 or place in wanted:
            what = f"{count} images" if count < 0 else "two counts"
            raise ValueError(f"synthesize: expected one count of at least 0 for class {name!r}, got {what}")
        wanted[place] = count
    if sum(wanted.values()) == 0:
        raise ValueError(
            "synthesize: expected at least one image to make, got counts of 0; say how many of which class"
        )
    order = sorted(wanted)
    labels = torch.tensor(order).repeat_interleave(torch.tensor([wanted[c] for c in order]))
    return labels, torch.cat([torch.arange(wanted[c]) for c in order])


def _in_precision(generator: Synthesizer, dtype: torch.dtype) -> Synthesizer:
    if not isinstance(generator, nn.Module):
        raise TypeError(f"synthesize: expected a generator that is a torch module, got {type(generator).__name__}")
    return deepcopy(generator).to(dtype).eval()


@torch.no_grad()
def _make(model: Synthesizer, labels: Tensor, keys: Tensor) -> Tensor:
    device = next(model.parameters()).device  # type: ignore[attr-defined]
    images = model.sample(labels.to(device), keys.to(device))
    return (images * 255).round().clamp(0, 255).to(torch.uint8).cpu()


def generator_hash(generator: Synthesizer) -> str:
    """The sha256 of a generator's weights, in hexadecimal."""
    if not isinstance(generator, nn.Module):
        raise TypeError(f"synthesize: expected a generator that is a torch module, got {type(generator).__name__}")
    digest = hashlib.sha256()
    for name, value in sorted(generator.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
