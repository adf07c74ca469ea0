import signal
from types import FrameType
from typing import Any

import lightning as L

from coordnet.callbacks.saving import Saving
from coordnet.errors import Interrupted


class Interruption(L.Callback):
    """On SIGTERM or SIGINT, finishes the step, saves and stops; a second signal ends the process at once."""

    def __init__(self, saving: Saving) -> None:
        self.saving = saving
        self.received: signal.Signals | None = None
        self.previous: dict[signal.Signals, Any] = {}

    def on_train_start(self, *_: Any) -> None:
        # Lightning has set its own handlers by now; they would end the run without a checkpoint.
        for number in (signal.SIGTERM, signal.SIGINT):
            self.previous[number] = signal.signal(number, self.receive)

    def receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        signal.signal(number, signal.SIG_DFL)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if self.received:
            self.saving.save(trainer)
            trainer.should_stop = True

    def teardown(self, *_: Any, **__: Any) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous = {}

    def raise_if_received(self, step: int) -> None:
        """Say that training ended early, with the exit code that shells expect."""
        if self.received:
            raise Interrupted(f"{self.received.name} at step {step}; saved", 128 + self.received)
