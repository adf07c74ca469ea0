"""Estimate peak training memory before a run starts, and turn out-of-memory errors into a UserError."""

import math
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from coordnet.errors import UserError
from coordnet.training.module import FieldModule

GIB = 2**30
# The memory of a step is measured at this many observations and at twice as many: the difference grows with the batch.
PROBED = 64
# Bytes per parameter: weight, gradient and Adam's two averages in float32.
PER_PARAMETER = 4 * 4
# Peak of a step as a multiple of the saved tensors: gradients of activations and temporaries of the encoding come on
# top (measured: 2 to 3).
OVER_SAVED = 3.0
# An evaluation copies at most this many samples, with so many bytes per value.
SCORED = 2**22
PER_SCORED = 4 * 12


def estimate(model: FieldModule) -> float:
    """Peak bytes of training: this process with its data, the weights with Adam's state, and a step or a score.

    The bytes that autograd keeps for a step are measured on a few observations.
    """
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    batches = model.batches
    total = batches.signal.num_observations
    size = total if batches.size is None else batches.size
    probed = min(PROBED, size, total)
    saved = kept(model, 2 * probed) - kept(model, probed)
    step = OVER_SAVED * saved / probed * size
    score = PER_SCORED * min(batches.signal.domain.num_samples, SCORED) * batches.signal.channels
    return resident() + PER_PARAMETER * parameters + max(step, score)


def kept(model: FieldModule, count: int) -> int:
    """Bytes that autograd keeps for a step on some observations."""
    # By address: what one layer puts out is what the next takes in.
    found: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        found[tensor.data_ptr()] = tensor
        return tensor

    batch = model.batches.signal.get_batch(torch.arange(count) % model.batches.signal.num_observations)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.loss_terms(batch)
    return sum(tensor.numel() * tensor.element_size() for tensor in found.values())


def resident() -> int:
    """Bytes of this process that are in memory; 0 where the system does not say."""
    return sizes()[1]


def sizes() -> tuple[int, int]:
    """Bytes of this process's addresses, and of what is in memory; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:
            pages = [int(word) for word in file.read().split()[:2]]
    except OSError:
        return 0, 0
    return pages[0] * resource.getpagesize(), pages[1] * resource.getpagesize()


def available() -> float:
    """Bytes of memory that this process could have; infinite where the system does not say."""
    limit, (addresses, held) = resource.getrlimit(resource.RLIMIT_AS)[0], sizes()
    # `ulimit -v` limits addresses, and libraries take addresses, too.
    allowed = math.inf if limit == resource.RLIM_INFINITY else limit - (addresses - held)
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":") for line in file)
        return min(allowed, int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        return allowed


def check_memory(model: FieldModule, limit: float | None) -> float:
    """Refuse a training that takes too much memory.

    Args:
        model: Module that is about to be trained.
        limit: Limit in GiB; None takes the available memory.

    Returns:
        The estimate in GiB.

    Raises:
        UserError: The estimate is above the limit.
    """
    needed = estimate(model) / GIB
    allowed = available() / GIB if limit is None else limit
    if needed > allowed:
        raise UserError(
            f"training takes about {needed:.1f} GiB of memory, more than "
            + (f"max_memory={limit:g}" if limit is not None else f"the {allowed:.1f} GiB available")
            + "; choose a smaller trainer.batch_size or network.width"
        )
    return needed


@contextmanager
def reraise_out_of_memory() -> Iterator[None]:
    """Turn the out-of-memory errors of Python, numpy and torch into one line.

    Raises:
        UserError: There was no more memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # Torch has no class for an out-of-memory error on a CPU.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate" not in str(error):
            raise
        asked = re.search(r"allocate (\d\S* \w+)", str(error))
        raise UserError(
            f"there is no more memory{f' for another {asked[1]}' if asked else ''}; choose a smaller "
            "trainer.batch_size, network.width or signal"
        ) from error
