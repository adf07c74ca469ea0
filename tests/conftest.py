import os

# Before torch is imported: idle OpenMP threads that spin slow every other process of a test run.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures, views and meshes that live beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the shared data are not at {SHARED_DATA}")
    return SHARED_DATA
