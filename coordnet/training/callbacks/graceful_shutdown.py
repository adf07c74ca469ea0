import math
import signal
from types import FrameType
from typing import Any

import lightning as L
import torch

from coordnet.errors import Interrupted
from coordnet.training.module import FieldModule


class GracefulShutdown(L.Callback):
    """Ends training after the current step on SIGTERM, SIGINT and Slurm's SIGUSR1, so that the run can save.

    A second signal ends the process at once. This callback has to come first: Lightning's own handlers would end the
    run without a checkpoint.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._module: FieldModule | None = None

    def next_due_step(self, step: int) -> float:
        """Never: a signal ends the block of steps."""
        return math.inf

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, FieldModule)
        self._module = pl_module
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            self._previous[number] = signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        if self._module is not None:
            self._module.stop_requested = True
        signal.signal(number, signal.SIG_DFL)

    def any_rank_interrupted(self, trainer: L.Trainer) -> bool:
        """Return True if a signal reached any of the processes that share the batch: all stop at the same step."""
        if trainer.world_size > 1:
            highest = trainer.strategy.reduce(torch.tensor(int(self.received or 0)), reduce_op="max")
            self.received = signal.Signals(int(highest)) if highest else None
        return self.received is not None

    def teardown(self, *_: Any, **__: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def raise_if_received(self, step: int) -> None:
        """Raise for the signal that ended training early.

        Raises:
            Interrupted: A signal was received; the exit code is 128 plus its number.
        """
        if self.received:
            raise Interrupted(f"{self.received.name} at step {step}; saved", 128 + self.received)
