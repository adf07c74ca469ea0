import signal
from types import FrameType
from typing import Any

import lightning as L
import torch

from coordnet.errors import Interrupted


class GracefulShutdown(L.Callback):
    """Notes SIGTERM, SIGINT and Slurm's SIGUSR1, so that the step can be finished and saved.

    A second one ends the process at once.

    It must stand first among the callbacks: Lightning's own handlers would end the run without a checkpoint.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.previous: dict[signal.Signals, Any] = {}

    def on_train_start(self, *_: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            self.previous[number] = signal.signal(number, self.receive)

    def receive(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number)
        signal.signal(number, signal.SIG_DFL)

    def any_rank_interrupted(self, trainer: L.Trainer) -> bool:
        """Whether any of the processes that share the batch was told to stop: all stop at the same step."""
        if trainer.world_size > 1:
            told = trainer.strategy.reduce(torch.tensor(int(self.received or 0)), reduce_op="max")
            self.received = signal.Signals(int(told)) if told else None
        return self.received is not None

    def teardown(self, *_: Any, **__: Any) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous = {}

    def raise_if_received(self, step: int) -> None:
        """Say that training ended early, with the exit code that shells expect."""
        if self.received:
            raise Interrupted(f"{self.received.name} at step {step}; saved", 128 + self.received)
