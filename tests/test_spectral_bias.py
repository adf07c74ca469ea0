"""The ablations of the spectral bias: their variants run, settings are the papers', and what they show holds."""

from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from support import evaluate, make_config

from coordnet.config.check import check_config
from coordnet.config.shipped import config_dir
from coordnet.coords import Domain
from coordnet.encodings.base import Encoding
from coordnet.encodings.fourier import gaussian
from coordnet.encodings.identity import Identity
from coordnet.fields.field import Field
from coordnet.networks.mlp import Mlp
from coordnet.signals.lines.waveform import sines
from coordnet.training.assemble import assemble


@cache
def sweeper(ablation: str) -> Any:
    """Variants and params as Hydra composes them."""
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose("train", overrides=[f"ablation={ablation}"], return_hydra_config=True)
    return config.hydra.sweeper


@cache
def row_config(ablation: str, label: str, *overrides: str) -> dict[str, Any]:
    return make_config(f"ablation={ablation}", *sweeper(ablation).variants[label], *overrides)


@pytest.mark.parametrize(
    "ablation", ["spectral_bias_1d", "spectral_bias_1d_paper", "rotation", "rotation_paper"]
)
def test_every_row_is_a_field_that_can_be_trained(ablation: str) -> None:
    for label in sweeper(ablation).variants:
        config = row_config(ablation, label)
        check_config(config)
        model = assemble(config)
        batch = model.batches(0)
        prediction = model.forward_map(model.field, {name: tensor[:8] for name, tensor in batch.items()})
        assert prediction["value"].isfinite().all()


@pytest.mark.parametrize("ablation", ["spectral_bias_1d_paper", "rotation_paper"])
def test_the_papers_rows_are_those_of_the_quick_sweep(ablation: str) -> None:
    assert list(sweeper(ablation).variants) == list(sweeper(ablation.removesuffix("_paper")).variants)


def test_spectral_bias_1d_paper_is_that_of_rahaman() -> None:
    config = row_config("spectral_bias_1d_paper", "none")
    assert (config["signal"]["num_samples"], config["signal"]["train_stride"]) == (200, 1)
    assert config["signal"]["frequencies"] == list(range(5, 51, 5))
    network = config["network"]
    assert (network["depth"], network["width"], network["init"]) == (5, 256, "torch")
    assert (
        config["optimizer"]["_target_"] == "coordnet.training.optimizers.adam"
        and config["optimizer"]["lr"] == 3e-4
    )
    assert config["schedule"] == {"_target_": "coordnet.training.schedules.constant"}
    assert config["trainer"]["batch_size"] is None and config["trainer"]["precision"] == "float32"
    assert (config["max_steps"], config["eval_every"]) == (60000, 100)
    params = sweeper("spectral_bias_1d_paper").params
    equal, increasing = yaml.safe_load(f"[{params['signal.amplitudes']}]")
    assert equal == [1] * 10
    assert increasing == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert len(params["seed"].split(",")) == 20


def test_rows_without_an_encoding_read_t_between_0_and_1() -> None:
    for ablation in ("spectral_bias_1d", "spectral_bias_1d_paper"):
        model = assemble(row_config(ablation, "none"))
        features = model.field.encoding(model.batches(0)["coords"])
        # Cell centers of 200 samples.
        assert features.min().item() == pytest.approx(0.0025, abs=1e-6)
        assert features.max().item() == pytest.approx(0.9975, abs=1e-6)


def test_rotation_paper_is_that_of_tancik() -> None:
    for label, top in (("log_linear", 31), ("gaussian", None)):
        config = row_config("rotation_paper", label)
        model = assemble(config)
        assert model.batches(0)["coords"].shape == (256**2, 2)
        frequencies = model.field.encoding.feature_frequencies()
        assert model.field.encoding.out_dim == 512
        if top:
            assert frequencies.max().item() == pytest.approx(top)
        else:
            assert frequencies.std().item() == pytest.approx(10, rel=0.1)
        assert config["optimizer"]["lr"] == 1e-3 and config["max_steps"] == 500
        assert (config["network"]["depth"], config["network"]["width"]) == (1, 256)
    params = sweeper("rotation_paper").params
    gratings = list(product(params["signal.frequency"].split(","), params["signal.angle"].split(",")))
    assert len(gratings) == 64
    assert {float(f) for f, _ in gratings} == {5, 10, 15, 20}
    assert sorted({float(a) for _, a in gratings}) == [i * 180 / 16 for i in range(16)]


def learned(make: type[Encoding] | Any, seed: int) -> dict[int, int]:
    """Steps until the errors of one and of four cycles are below 0.1."""
    signal = sines(64, 1, (1, 4), seed=seed)
    torch.manual_seed(seed)
    encoding = make(signal.domain)
    field = Field(encoding, Mlp(encoding.out_dim, 1, depth=2, width=64, init="torch"))
    optimizer = torch.optim.Adam(field.parameters(), 3e-3)
    first: dict[int, int] = {}
    for step in range(1500):
        prediction = field(signal.domain.grid())
        found = prediction.detach()
        metrics = evaluate(signal, lambda _, found=found: found, dict).metrics
        for k in (1, 4):
            if metrics[f"sine_error/k00{k}"] < 0.1:
                first.setdefault(k, step)
        if len(first) == 2:
            break
        optimizer.zero_grad()
        (prediction - signal.values).square().mean().backward()
        optimizer.step()
    return first


@pytest.mark.parametrize("seed", [0, 1])
def test_a_frequency_four_times_as_high_takes_longer_without_an_encoding_and_no_longer_with_one(
    seed: int,
) -> None:
    def encoded(domain: Domain) -> Encoding:
        return gaussian(domain, scale=3, num_frequencies=32)

    without, with_one = learned(Identity, seed), learned(encoded, seed)
    assert without[4] > 5 * without[1]
    assert with_one[4] < 2 * with_one[1]
