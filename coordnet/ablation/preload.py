"""Imported by the fork server, so that the jobs forked from it start at once.

It computes with one thread only: a process forked from one whose OpenMP threads have run would hang.
"""

import torch

import coordnet.diagnostics.spectrum_figure
import coordnet.runs.run  # noqa: F401

torch.set_num_threads(1)
layer = torch.nn.Linear(2, 2)
layer(torch.zeros(1, 2)).sum().backward()
