"""The fork server imports this module, so that jobs forked from the server start at once.

The server computes with one thread only: after OpenMP threads have run in a process, its forks hang. The server leaves
the driver's process group, so that a signal to the whole group reaches the driver, which passes the signal on once.
"""

import os

import torch

import coordnet.diagnostics.spectrum_figure
import coordnet.training.run  # noqa: F401

os.setpgid(0, 0)
torch.set_num_threads(1)
layer = torch.nn.Linear(2, 2)
layer(torch.zeros(1, 2)).sum().backward()
