"""Loss terms against closed forms, and how they are chosen."""

import math
from typing import Any

import pytest
import torch
from support import make_config

from coordnet.config.check import check_config
from coordnet.errors import OptionError, UserError
from coordnet.losses.bce import BinaryCrossEntropy
from coordnet.losses.huber import Huber
from coordnet.losses.l1 import l1
from coordnet.losses.mse import mse
from coordnet.losses.total_variation import TotalVariation
from coordnet.losses.weight_decay import WeightDecay
from coordnet.training.assemble import assemble
from coordnet.training.plugins import build_losses

VALUE = torch.tensor([[0.0], [1.0], [0.5]])
OBSERVED = torch.tensor([[0.0], [0.5], [0.9]])
BATCH = {"value": OBSERVED}


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (mse, (0 + 0.25 + 0.16) / 3),
        (l1, (0 + 0.5 + 0.4) / 3),
        # At 0.45 the residual 0.4 is quadratic and 0.5 is linear.
        (Huber(0.45), (0 + 0.45 * (0.5 - 0.225) + 0.08) / 3),
        (Huber(10), (0 + 0.125 + 0.08) / 3),
    ],
)
def test_a_term_has_its_closed_form(loss: Any, expected: float) -> None:
    assert float(loss({"value": VALUE}, BATCH, None)) == pytest.approx(expected, rel=1e-6)


def test_cross_entropy_has_its_closed_form_and_stays_finite() -> None:
    prediction = {"value": torch.tensor([[0.25], [0.0]])}
    batch = {"value": torch.tensor([[1.0], [1.0]])}
    expected = (-math.log(0.25) - math.log(1e-6)) / 2
    assert float(BinaryCrossEntropy(1e-6)(prediction, batch, None)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", [mse, l1, Huber(), BinaryCrossEntropy()])
def test_a_coarse_prediction_of_the_value_counts_as_much(loss: Any) -> None:
    once = loss({"value": VALUE}, BATCH, None)
    twice = loss({"value": VALUE, "coarse_value": VALUE, "depth": VALUE}, BATCH, None)
    torch.testing.assert_close(twice, 2 * once)


def test_total_variation_of_a_linear_field_is_the_mean_of_its_slopes() -> None:
    slopes = torch.tensor([[3.0, -1.0], [0.0, 2.0]])
    coords = torch.rand(50, 2)
    found = TotalVariation(0.125)({}, {"coords": coords}, lambda x: x @ slopes)
    assert float(found) == pytest.approx((3 + 1 + 0 + 2) / 4, rel=1e-4)


def test_total_variation_needs_coordinates() -> None:
    with pytest.raises(UserError, match="needs a batch with coords, but this signal has origins"):
        TotalVariation()({}, {"origins": torch.zeros(1, 3)}, None)


def test_weight_decay_is_the_sum_of_squares_of_the_named_parts() -> None:
    field = torch.nn.ModuleDict({"encoding": torch.nn.Linear(2, 2), "network": torch.nn.Linear(2, 1)})
    field.requires_grad_(False)
    sums = {name: sum(float(p.square().sum()) for p in part.parameters()) for name, part in field.items()}
    for parts, expected in (
        (["network"], sums["network"]),
        (["encoding"], sums["encoding"]),
        ([], sum(sums.values())),
        (["network.bias"], float(field["network"].bias.square().sum())),
    ):
        assert float(WeightDecay(parts)({}, {}, field)) == pytest.approx(expected, rel=1e-6)


def test_weight_decay_of_a_part_that_is_not_there_names_the_parts() -> None:
    with pytest.raises(OptionError, match=r"parts are bias, weight"):
        WeightDecay(["networks"])({}, {}, torch.nn.Linear(1, 1))


def test_the_loss_is_the_weighted_sum_of_the_chosen_terms() -> None:
    config = make_config(
        "signal.resize=[16,16]", "network.width=8", "trainer.batch_size=16", "loss=[mse,l1,weight_decay]"
    )
    config["loss"]["l1"]["weight"] = 0.5
    model = assemble(config)
    terms = model.loss_terms(model.batches(0))
    assert list(terms) == ["loss", "loss/mse", "loss/l1", "loss/weight_decay"]
    weights = {"mse": 1.0, "l1": 0.5, "weight_decay": 1e-6}
    expected = sum(weight * terms[f"loss/{name}"] for name, weight in weights.items())
    torch.testing.assert_close(terms["loss"], expected)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({}, "leaves nothing to minimize"),
        ({"huber": {"_target_": "coordnet.losses.huber.Huber", "delta": 0}}, r"loss\.huber\.delta=0 must be"),
        (
            {"huber": {"_target_": "coordnet.losses.huber.Huber", "dleta": 1}},
            r"loss\.huber\.dleta is unknown",
        ),
    ],
)
def test_a_mistake_names_the_key(nodes: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_losses(nodes)


@pytest.mark.parametrize("weight", [-1, True, "much", None])
def test_a_weight_is_a_number_of_at_least_0(weight: Any) -> None:
    config = make_config()
    config["loss"]["mse"]["weight"] = weight
    with pytest.raises(UserError, match=r"^loss\.mse\.weight=.* must be a number from 0"):
        check_config(config)
