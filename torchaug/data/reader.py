"""Reads a DataLoader's batches by tickets, so that keys, the transform and errors can go where its workers are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from torchaug.data.errors import SampleError, sample_error
from torchaug.data.instead import Replaced, read_instead
from torchaug.data.stage import Stage, Visit, ids_of, in_batch
from torchaug.data.streams import Direct
from torchaug.data.watch import Watch

_DEAD = re.compile("exited unexpectedly|is killed by signal")
_HOST = torch.device("cpu")


class Ticket(NamedTuple):
    """What one batch is to hold.

    Args:
        indices: of its samples.
        visit: which batch it is.
    """

    indices: Sequence[Any]
    visit: Visit


class Read(NamedTuple):
    """A batch that was read.

    Args:
        step: number of the batch in its epoch.
        batch: as the DataLoader's `collate_fn` made it, and transformed where workers do that.
        replaced: its samples that stand in for others.
    """

    step: int
    batch: Any
    replaced: Sequence[Replaced] = ()


class Reader(Dataset[Read]):
    """A data set of batches: what torch does with the indices of a batch, with errors that name the sample.

    Args:
        data: the data set of items.
        collate: makes a batch of items.
        replace: whether samples that cannot be read are replaced by the next alike.
        min_weight: of items that stand in for others.
        stage: the transform, where it is to run here, or None.
        check: as `DeviceLoader` has it, where the transform runs here.
    """

    def __init__(
        self,
        data: Any,
        collate: Callable[[Any], Any],
        *,
        replace: bool = False,
        min_weight: float = 0.0,
        stage: Stage | None = None,
        check: str = "off",
    ) -> None:
        self.data, self.collate, self.replace, self.min_weight = data, collate, replace, min_weight
        self.stage, self.check = stage, check

    def __getitem__(self, ticket: Ticket) -> Read:
        indices, visit = ticket
        items, replaced = self._items(indices)
        try:
            batch = self.collate(items)
        except Exception as error:  # whatever the user's function raises
            where = f"DeviceLoader: cannot make {visit} of samples {list(indices)[:8]}"
            raise in_batch(error, where) from error
        if self.stage is not None:
            batch = self._transformed(self.stage, batch, ticket, replaced)
        return Read(visit.step, batch, replaced)

    def _items(self, indices: Sequence[Any]) -> tuple[Any, list[Replaced]]:
        data, items, replaced = self.data, [], []
        many = getattr(data, "__getitems__", None)
        if many:
            return self._many(many, indices)
        for index in indices:
            try:
                items.append(data[index])
            except Exception as error:  # noqa: PERF203, BLE001 (free from Python 3.11 on; data sets raise what they like)
                item, stand_in = self._other(len(items), index, error, data.__getitem__)
                items.append(item)
                replaced.append(stand_in)
        return items, replaced

    def _many(self, many: Callable[[Any], Any], indices: Sequence[Any]) -> tuple[Any, list[Replaced]]:
        """Items read together; after an error one by one, to find those that cannot be read."""
        try:
            return many(indices), []
        except Exception as error:  # whatever the user's data set raises
            replaced, good = [], list(indices)
            for row, index in enumerate(indices):
                try:
                    many([index])
                except Exception as alone:  # noqa: PERF203, BLE001 (as above)
                    stand_in = self._other(row, index, alone, lambda other: many([other]))[1]
                    good[row] = stand_in.read
                    replaced.append(stand_in)
            if not replaced:  # together they fail, and each alone does not
                raise in_batch(error, f"DeviceLoader: cannot read samples {list(indices)[:8]} together") from error
            return many(good), replaced

    def _other(self, row: int, index: Any, error: Exception, read: Callable[[Any], Any]) -> tuple[Any, Replaced]:
        if self.replace:
            item, other, errors = read_instead(self.data, index, error, read, self.min_weight)
            return item, Replaced(row, index, other, errors)
        if isinstance(error, SampleError):
            raise error
        raise sample_error(error, self.data, index) from error

    def _transformed(self, stage: Stage, batch: Any, ticket: Ticket, replaced: Sequence[Replaced]) -> Any:
        visit, watch = ticket.visit, Watch(self.check, Direct(_HOST))
        keys = stage.keys(batch, replaced, visit)
        with torch.no_grad():
            after = stage.run(batch, keys, visit, names=read_indices(ticket.indices, replaced))
            watch.note(batch, after, visit, ids_of(batch))
            watch.examine(wait=True)
        return after


class Feed:
    """The batches of a DataLoader, read by its own kind of workers through a `Reader`.

    Args:
        loader: of a map-style data set, with batches, that iterates as torch's own does (see `unreadable`).
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader
        self._turn = _Turn()
        self._inner: DataLoader[Read] | None = None

    def read(self, reader: Reader, tickets: Iterator[Ticket]) -> Iterator[Read]:
        """The batches of `tickets`. Persistent workers keep the reader that they were started with."""
        if self._inner is None or not self.loader.persistent_workers:
            self._inner = self._open(reader)
        self._turn.tickets = tickets
        return iter(self._inner)

    def close(self) -> None:
        """End the workers that are waiting for the next epoch."""
        self._inner = None  # with it goes its iterator, which ends them

    def _open(self, reader: Reader) -> DataLoader[Read]:
        own = self.loader
        return DataLoader(
            reader,
            batch_size=None,
            sampler=self._turn,
            collate_fn=_as_is,
            num_workers=own.num_workers,
            pin_memory=own.pin_memory,
            timeout=own.timeout,
            worker_init_fn=_Begin(own.worker_init_fn),
            multiprocessing_context=own.multiprocessing_context,
            generator=own.generator,
            prefetch_factor=own.prefetch_factor,
            persistent_workers=own.persistent_workers,
            pin_memory_device=own.pin_memory_device,
            in_order=own.in_order,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"loader": self.loader, "_turn": _Turn(), "_inner": None}  # workers belong to their process


class _Turn:
    """The sampler of the inner loader: the tickets of the iteration that is about to begin."""

    tickets: Iterator[Ticket] = iter(())

    def __iter__(self) -> Iterator[Ticket]:
        return self.tickets


class _Begin:
    """What a worker does first: `get_worker_info().dataset` is the user's data set, as it is in any DataLoader."""

    def __init__(self, own: Callable[[int], None] | None) -> None:
        self.own = own

    def __call__(self, worker: int) -> None:
        info: Any = get_worker_info()
        object.__setattr__(info, "dataset", info.dataset.data)  # it is frozen
        if self.own is not None:
            self.own(worker)


def unreadable(loader: DataLoader[Any]) -> str:
    """Why a `Feed` cannot read the loader's batches, as what the loader "has" or "is"; nothing where it can."""
    if isinstance(loader.dataset, IterableDataset):
        return "has an iterable data set"
    if loader.batch_sampler is None:
        return "has batch_size=None"
    kind: Any = type(loader)
    if kind.__iter__ is not DataLoader.__iter__ or kind._get_iterator is not DataLoader._get_iterator:
        return f"is a {kind.__name__} with an iteration of its own"
    return ""


def surviving(batches: Iterator[Any], epoch: int, step: int, close: Callable[[], None]) -> Iterator[Any]:
    """The batches, with a clear error where a worker process was killed.

    Args:
        batches: of a DataLoader.
        epoch, step: of the first.
        close: called when a worker is dead, to start others in the next epoch.
    """
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            if not _DEAD.search(str(error)):
                raise
            close()
            raise RuntimeError(
                f"DeviceLoader: expected batch {step} of epoch {epoch}, got the death of a worker process ({error}). "
                "Batches handed out before it are whole, and state_dict() resumes after them. Mostly memory is short: "
                "use fewer workers, a smaller batch or prefetch_factor, or more shared memory (docker run --shm-size)"
            ) from error
        yield batch
        step += 1


def read_indices(indices: Sequence[Any], replaced: Sequence[Replaced]) -> Sequence[Any]:
    """The indices of the samples that were read."""
    if not replaced:
        return indices
    read = list(indices)
    for stand_in in replaced:
        read[stand_in.row] = stand_in.read
    return read


def _as_is(read: Any) -> Any:
    return read
