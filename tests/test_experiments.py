"""Every shipped experiment is a run: it composes, passes the checks and takes a step."""

import os
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from support import make_config

from coordnet.cli.train import give_back, plain
from coordnet.config.check import check_config
from coordnet.config.shipped import config_dir
from coordnet.training.assemble import assemble

EXPERIMENTS = sorted(file.stem for file in (config_dir() / "experiment").glob("*.yaml"))
# In place of pictures from files.
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


def with_others(*overrides: str) -> dict[str, Any]:
    """The plain config of a command whose experiment has given back what is not its own."""
    os.environ.setdefault("COORDNET_RUN_ID", "test")
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose("train", overrides=list(overrides), return_hydra_config=True)
    give_back(config)
    return plain(config)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_takes_any_encoding(experiment: str) -> None:
    defaults = OmegaConf.load(config_dir() / "experiment" / f"{experiment}.yaml").defaults
    chosen = next(default["override /encoding"] for default in defaults if "override /encoding" in default)
    for file in (config_dir() / "encoding").glob("*.yaml"):
        config = with_others(f"experiment={experiment}", f"encoding={file.stem}", "signal=scene")
        check_config(config)
        if file.stem != chosen:
            assert config["encoding"] == make_config(f"encoding={file.stem}")["encoding"]


def test_what_the_command_line_sets_stays() -> None:
    config = with_others("experiment=nerf_simple", "encoding=gaussian", "encoding.num_frequencies=9")
    assert config["encoding"]["num_frequencies"] == 9
    assert with_others("experiment=nerf_simple")["encoding"]["num_frequencies"] == 7
    assert with_others("experiment=nerf_simple", "network.width=8")["encoding"]["num_frequencies"] == 7


def test_other_groups_are_given_back_too() -> None:
    config = with_others(
        "experiment=lego_instant", "forward_map=hierarchical", "network=siren", "signal=scene"
    )
    assert config["forward_map"] == make_config("forward_map=hierarchical")["forward_map"]
    assert config["network"] == make_config("network=siren")["network"]
    assert config["encoding"] == make_config("experiment=lego_instant")["encoding"]


def test_the_background_is_the_experiments_whatever_the_signal() -> None:
    assert with_others("experiment=nerf_simple", "signal=scene")["signal"]["background"] == "black"
    other = with_others("experiment=nerf_simple", "signal=scene", "signal.background=white")
    assert other["signal"]["background"] == "white"
