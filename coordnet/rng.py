import numpy as np
import torch


def keyed_generator(*key: int) -> torch.Generator:
    """A generator of its own for each key, such as (seed, step) or (seed, step, purpose), a purpose above 0."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
