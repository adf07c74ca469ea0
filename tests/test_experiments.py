"""Every shipped experiment is a run: it composes, passes the checks and takes a step."""

import pytest
import torch
from support import make_config

from coordnet.assemble import assemble
from coordnet.config import check_config
from coordnet.shipped import config_dir

EXPERIMENTS = sorted(file.stem for file in (config_dir() / "experiment").glob("*.yaml"))
# In place of pictures from files.
TINY = ["signal=scene", "signal.size=8", "signal.views=2", "signal.held_out=1", "signal.supersample=1"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_takes_a_step(name: str) -> None:
    scene = TINY if make_config(f"experiment={name}").get("radiance") else []
    config = make_config(f"experiment={name}", *scene, "trainer.batch_size=8")
    check_config(config)
    model = assemble(config)
    for part in model.timed:
        part.on_step(0, config["max_steps"])
    batch = model.batches(0)
    prediction = model.forward_map(model.field, batch)
    loss = sum(weight * term(prediction, batch) for weight, term in model.losses.values())
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert loss.isfinite() and gradients and all(gradient.isfinite().all() for gradient in gradients)
