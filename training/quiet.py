"""Lightning as a part of something: without its tips, and with Ctrl-C as everywhere."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_EXPECTED = (
    r".*LeafSpec.*",  # Lightning 2.6 on torch 2.9 and later
    r"Found \d+ module\(s\) in eval mode.*",  # the averaged weights
    r"The '\w+' does not have many workers.*",  # the data are in memory
    r".*GPU available but not used.*",
    r"You're resuming from a checkpoint that ended before the epoch ended.*",  # the stream is resumed by its step
    r"Checkpoint directory .* exists and is not empty.*",
)


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets Ctrl-C through as KeyboardInterrupt; Lightning makes an exit of it and ignores the signal ever after."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as leaving:
        if not isinstance(leaving.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


@contextmanager
def quiet() -> Iterator[None]:
    """Silences Lightning's tips, and those of its warnings that are expected here; others are shown as ever."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _EXPECTED:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        logger.setLevel(level)
