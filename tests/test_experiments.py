"""Every shipped experiment is a run: it composes, passes the checks and takes a step."""

import pytest
from omegaconf import OmegaConf
from support import make_config

from coordnet.config.check import check_config
from coordnet.config.shipped import config_dir
from coordnet.training.assemble import assemble

EXPERIMENTS = sorted(file.stem for file in (config_dir() / "experiment").glob("*.yaml"))
# Options of a tiny synthetic scene, in place of pictures from files.
TINY = [
    "signal=scene",
    "signal.size=8",
    "signal.num_views=2",
    "signal.num_eval_views=1",
    "signal.supersample=1",
]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_takes_a_step(name: str) -> None:
    scene = TINY if make_config(f"experiment={name}").get("radiance") else []
    config = make_config(f"experiment={name}", *scene, "trainer.batch_size=8")
    check_config(config)
    model = assemble(config)
    for part in model.scheduled_modules:
        part.on_step(0, config["max_steps"])
    batch = model.batches(0)
    loss = model.loss_terms(batch)["loss"]
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert loss.isfinite() and gradients and all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_takes_any_encoding(experiment: str) -> None:
    defaults = OmegaConf.load(config_dir() / "experiment" / f"{experiment}.yaml").defaults
    chosen = next(default["override /encoding"] for default in defaults if "override /encoding" in default)
    for file in (config_dir() / "encoding").glob("*.yaml"):
        config = make_config(f"experiment={experiment}", f"encoding={file.stem}", "signal=scene")
        check_config(config)
        if file.stem != chosen:
            assert config["encoding"] == make_config(f"encoding={file.stem}")["encoding"]


def test_what_the_command_line_sets_stays() -> None:
    config = make_config("experiment=nerf_simple", "encoding=gaussian", "encoding.num_frequencies=9")
    assert config["encoding"]["num_frequencies"] == 9
    assert make_config("experiment=nerf_simple")["encoding"]["num_frequencies"] == 7
    assert make_config("experiment=nerf_simple", "network.width=8")["encoding"]["num_frequencies"] == 7


def test_other_groups_are_given_back_too() -> None:
    config = make_config(
        "experiment=lego_instant", "forward_map=hierarchical", "network=siren", "signal=scene"
    )
    assert config["forward_map"] == make_config("forward_map=hierarchical")["forward_map"]
    assert config["network"] == make_config("network=siren")["network"]
    assert config["encoding"] == make_config("experiment=lego_instant")["encoding"]


def test_the_background_is_the_experiments_whatever_the_signal() -> None:
    assert make_config("experiment=nerf_simple", "signal=scene")["signal"]["background"] == "black"
    other = make_config("experiment=nerf_simple", "signal=scene", "signal.background=white")
    assert other["signal"]["background"] == "white"
