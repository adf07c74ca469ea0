from typing import Any

import pytest
from support import SMALL, make_config

from coordnet.errors import UserError
from coordnet.sweeps.matching import count_parameters, equal_parameters, with_width


def config(*overrides: str) -> dict[str, Any]:
    return make_config(*SMALL, "network.width=64", *overrides)


def test_parameters_are_those_of_the_layers() -> None:
    assert count_parameters(config("encoding=identity"), ()) == (2 + 1) * 64 + 65 * 64 + 65 * 3


@pytest.mark.parametrize("encoding", ["basic", "positional", "gaussian", "identity"])
def test_the_width_found_gives_the_parameters_asked_for(encoding: str) -> None:
    target = count_parameters(config("encoding=identity"), ())
    own = config(
        f"encoding={encoding}", "encoding.num_frequencies=16" if encoding == "gaussian" else "seed=0"
    )
    width = equal_parameters(own, target, ())
    assert width is not None
    assert abs(count_parameters(with_width(own, width), ()) - target) <= 0.02 * target
    assert width == 64 or encoding != "identity"


def test_the_width_found_is_the_nearest() -> None:
    own = config("encoding=basic")
    target = count_parameters(with_width(own, 50), ())
    assert equal_parameters(own, target, ()) == 50


def test_what_is_not_trained_keeps_its_width() -> None:
    assert equal_parameters(config("baseline=bilinear"), 1000, ()) is None


def test_a_number_that_no_width_comes_near_is_named() -> None:
    with pytest.raises(UserError, match="the parameter count of wide nearest to 300 is"):
        equal_parameters(config("encoding=gaussian", "label=wide"), 300, ())
