"""Where an iteration over epochs and steps stands, and where the next one begins."""

from __future__ import annotations


class Cursor:
    """Epoch and step of an iteration that can be resumed, abandoned and told its epoch.

    A new iteration begins where `seek` put it, and else at the start of the epoch after the last one begun, also when
    that was abandoned. Telling it the epoch that it was put into keeps the step: Lightning does so after a resume.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.step = 0
        self._next = (0, 0)

    def seek(self, epoch: int, step: int) -> None:
        """Let the next iteration begin at `step` of `epoch`."""
        self.epoch, self.step = self._next = (epoch, step)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be of `epoch`: from its start, unless it was to begin within that epoch anyway."""
        if epoch != self._next[0]:
            self._next = (epoch, 0)

    def peek(self, steps: int) -> tuple[int, int]:
        """The epoch and the step at which the next iteration begins, in epochs of `steps`."""
        epoch, step = self._next
        return (epoch, step) if step < steps else (epoch + 1, 0)

    def begin(self, steps: int) -> tuple[int, int]:
        """Begin an iteration; its epoch and its step."""
        self.epoch, self.step = self.peek(steps)
        self._next = (self.epoch + 1, 0)
        return self.epoch, self.step
