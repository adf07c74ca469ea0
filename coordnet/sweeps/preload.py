"""Imported by the fork server, so that the jobs forked from it start at once.

It computes with one thread only: a process forked from one whose OpenMP threads have run would hang. It leaves the
driver's process group, so that a signal to the whole group reaches the driver, which passes it on once.
"""

import os

import torch

import coordnet.diagnostics.spectrum_figure
import coordnet.training.run  # noqa: F401

os.setpgid(0, 0)
torch.set_num_threads(1)
layer = torch.nn.Linear(2, 2)
layer(torch.zeros(1, 2)).sum().backward()
