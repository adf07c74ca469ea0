"""Encodings that go wrong in the fourth step; test_jobs.py trains with them in processes of their own."""

import os
import signal
import time
from pathlib import Path

import torch
from torch import Tensor

from coordnet.coords import Domain
from coordnet.encodings.base import Encoding

STEP = 4


class Faulty(Encoding):
    """The coordinates as they are, until the fault comes.

    Args:
        domain: Gives the dimension.
        fault: "none", "raise", "diverge", "kill" (itself) or "hang".
        log: File that gets a line for each object made.
    """

    includes_input = True

    def __init__(self, domain: Domain, fault: str = "none", log: str | None = None) -> None:
        super().__init__()
        self.in_dim = self.out_dim = domain.dim
        self.fault = fault
        self.step = 0
        if log:
            with Path(log).open("a") as file:
                file.write(f"{fault}\n")

    def on_step(self, step: int, max_steps: int) -> None:
        self.step = step

    def forward(self, coords: Tensor) -> Tensor:
        if self.step == STEP and torch.is_grad_enabled():
            match self.fault:
                case "raise":
                    raise RuntimeError("on purpose")
                case "diverge":
                    return coords * torch.nan
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "hang":
                    time.sleep(1000)
        return coords
