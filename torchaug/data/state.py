"""The state of a sampler, and how the run to resume differs from the one that it was taken of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Sources = Sequence[Sequence[Any]]  # name, fingerprint and size of each


def check_state(then: Mapping[str, Any], now: Mapping[str, Any], strict: bool) -> None:
    """Refuse the state `then` where the run of the state `now` would not go on with the same samples.

    Raises:
        ValueError: another version, and unless `strict=False` another seed, global batch size, epoch length or source.
    """
    if then.get("v") != now["v"]:
        raise ValueError(
            f"MixedSampler: expected a state of version {now['v']}, got {then.get('v')!r}; update torchaug"
        )
    pairs = {name: (then[name], now[name]) for name in ("seed", "steps_per_epoch")}
    pairs["global batch size"] = (_global(then), _global(now))
    changed = [f"{name} {before} then, {after} now" for name, (before, after) in pairs.items() if before != after]
    changed += _source_changes(then["sources"], now["sources"])
    if changed and strict:
        raise ValueError(
            f"MixedSampler: the run to resume differs: {'; '.join(changed)}; make them equal, or pass strict=False to go "
            "on at that step with what is there now"
        )


def _global(state: Mapping[str, Any]) -> int:
    return int(state["batch_size"]) * int(state["world_size"])


def _source_changes(then: Sources, now: Sources) -> list[str]:
    before = {name: (fingerprint, size) for name, fingerprint, size in then}
    after = {name: (fingerprint, size) for name, fingerprint, size in now}
    changes = [f"source {name!r} then only" for name in before if name not in after]
    changes += [f"source {name!r} now only" for name in after if name not in before]
    for name in [name for name in before if name in after]:
        (fingerprint, size), (print_now, size_now) = before[name], after[name]
        if size != size_now:
            changes.append(f"source {name!r} had {size} items then, has {size_now} now")
        elif fingerprint != print_now:
            changes.append(
                f"source {name!r} has other items or labels, fingerprint {fingerprint[:8]}... then, {print_now[:8]}... now"
            )
    if not changes and list(before) != list(after):
        changes.append(f"sources in the order {', '.join(before)} then, {', '.join(after)} now")
    return changes
