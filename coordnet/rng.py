import numpy as np
import torch

# Purposes of the random numbers that a training step needs besides its batch, for keys (seed, step, purpose).
RNG_RAY_SAMPLES = 1
RNG_GRID_UPDATE = 2


def keyed_generator(*key: int) -> torch.Generator:
    """Make a CPU generator whose state depends on the key alone.

    Args:
        key: Whole numbers from 0, such as (seed, step) or (seed, step, purpose). A purpose is above 0, because a
            trailing 0 does not change the state.
    """
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
