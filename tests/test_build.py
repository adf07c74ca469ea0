import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import yaml

from coordnet.config import shipped
from coordnet.config.build import build, did_you_mean, factory, matches
from coordnet.config.check import DICT_GROUPS
from coordnet.coords import Domain
from coordnet.encodings.fourier import gaussian
from coordnet.errors import UserError

GAUSSIAN = "coordnet.encodings.fourier.gaussian"
DOMAIN = Domain((16, 16))


def refusal(node: Mapping[str, Any], allow: Sequence[str] = (), **given: Any) -> str:
    """The one line that says why a node is refused."""
    with pytest.raises(UserError) as caught:
        build(node, "encoding", allow, **given)
    message = str(caught.value)
    assert message.startswith("encoding") and "\n" not in message
    return message


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that is on the path and tells of its import; the name of a class in it is returned."""
    (tmp_path / "canary_room").mkdir()
    (tmp_path / "canary_room" / "__init__.py").touch()
    (tmp_path / "canary_room" / "bird.py").write_text(
        "LIST = [1]\n"
        "class Bird:\n"
        "    def __init__(self, domain: object, wings: int = 2) -> None:\n"
        "        self.wings = wings\n"
        "class Untyped:\n"
        "    def __init__(self, domain, wings):\n"
        "        self.wings = wings\n"
        "class Dead(Bird):\n"
        "    def __init__(self, domain: object) -> None:\n"
        "        raise ValueError('no more')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("canary_room.bird", "canary_room"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "canary_room.bird.Bird"


# Names that a config may hold


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.load",
        "numpy.load",
        "sympy.sympify",
        "builtins.eval",
        "pathlib.Path",
        "torch.utils.cpp_extension.load_inline",
        "coordnet.signals.images.image_file.Path",
        "coordnet.config.shipped.re.compile",
        "coordnet.encodings.fourier.torch.load",
        "coordnet.encodings.fourier.Fourier",
        "coordnet.encodings.fourier.gaussian.__globals__",
        "coordnet.encodings.fourier.gaussian2",
        " coordnet.encodings.fourier.gaussian",
        "gaussian",
        "",
    ],
)
@pytest.mark.reliability("T09")
def test_targets_that_no_shipped_config_names_are_refused(target: str) -> None:
    message = refusal({"_target_": target}, domain=DOMAIN)
    assert message.startswith(f"encoding._target_={target} ") and "--allow" in message


@pytest.mark.reliability("T09")
def test_nothing_is_imported_for_a_refused_target(canary: str) -> None:
    refusal({"_target_": canary}, domain=DOMAIN)
    refusal({"_target_": canary}, allow=["canary_roo.", "canary_room.bir."], domain=DOMAIN)
    assert not [name for name in sys.modules if name.startswith("canary_room")]
    build({"_target_": canary}, "encoding", ["canary_room."], domain=DOMAIN)
    assert "canary_room.bird" in sys.modules


@pytest.mark.parametrize("target", [None, 3, 1.5, True, ["os.system"], {"_target_": "os.system"}])
def test_targets_that_are_no_names_are_refused(target: Any) -> None:
    assert "_target_" in refusal({"_target_": target}, domain=DOMAIN)


def test_a_node_without_a_target_is_refused() -> None:
    assert "encoding._target_" in refusal({"scale": 1.0}, domain=DOMAIN)


def test_every_shipped_target_is_there() -> None:
    """Hydra itself builds the targets of hydra/, so these targets are left out."""
    nodes = [
        (file.parent.name, yaml.safe_load(file.read_text().replace("${", "$")))
        for file in shipped.config_dir().glob("*/*.yaml")
        if file.parent.name not in ("hydra", "ablation", "experiment", "trainer")
    ]
    assert len(nodes) > 10
    nodes = [(key, each) for key, node in nodes for each in (node.values() if key in DICT_GROUPS else [node])]
    for key, node in nodes:
        assert node["_target_"] in shipped.targets()
        assert callable(factory({"_target_": node["_target_"]}, key))


def test_allowed_prefixes_open_their_package_only(canary: str) -> None:
    made = build({"_target_": canary, "wings": 4}, "encoding", ["other.", "canary_room."], domain=DOMAIN)
    assert made.wings == 4
    refusal({"_target_": "os.system"}, allow=["canary_room."], domain=DOMAIN)


@pytest.mark.parametrize(
    "target", ["canary_room.bird.Brid", "canary_room.nest.Bird", "canary_room.bird.LIST", "canary_room"]
)
def test_allowed_targets_that_cannot_be_called_are_refused(canary: str, target: str) -> None:
    assert f"encoding._target_={target}" in refusal(
        {"_target_": target}, allow=["canary_room"], domain=DOMAIN
    )


# Options


def test_options_and_what_is_given_reach_the_callable() -> None:
    node = {"_target_": GAUSSIAN, "scale": 3.0, "num_frequencies": 5, "seed": 7}
    expected = gaussian(DOMAIN, scale=3.0, num_frequencies=5, seed=7)
    assert torch.equal(build(node, "encoding", domain=DOMAIN).frequencies, expected.frequencies)


def test_a_node_is_left_as_it_was() -> None:
    node = {"_target_": GAUSSIAN, "scale": 3.0}
    build(node, "encoding", domain=DOMAIN)
    assert node == {"_target_": GAUSSIAN, "scale": 3.0}


def test_unknown_options_come_with_a_suggestion() -> None:
    message = refusal({"_target_": GAUSSIAN, "num_frequncies": 3}, domain=DOMAIN)
    assert message == "encoding.num_frequncies is unknown; did you mean num_frequencies?"
    assert "known are domain, num_frequencies, scale, seed" in refusal({"_target_": GAUSSIAN, "xyzzy": 3})


@pytest.mark.parametrize(
    "name, value",
    [
        ("scale", "ten"),
        ("scale", float("nan")),
        ("scale", float("inf")),
        ("scale", True),
        ("scale", [1.0]),
        ("scale", {"target": "os.system"}),
        ("num_frequencies", 2.5),
        ("num_frequencies", 2.0),
        ("num_frequencies", None),
        ("num_frequencies", "256"),
        ("num_frequencies", False),
        ("seed", {}),
    ],
)
def test_values_of_the_wrong_type_are_refused_by_name(name: str, value: Any) -> None:
    message = refusal({"_target_": GAUSSIAN, name: value}, domain=DOMAIN)
    assert message.startswith(f"encoding.{name}={value!r} must be a ")


@pytest.mark.parametrize(
    "value, key",
    [
        ({"_target_": "os.system"}, "encoding.scale"),
        ([0, {"_target_": "os.system"}], "encoding.scale.1"),
        ({"deep": {"er": {"_target_": "os.system"}}}, "encoding.scale.deep.er"),
    ],
)
@pytest.mark.reliability("T09")
def test_nodes_at_any_depth_are_held_to_the_same_list(value: Any, key: str) -> None:
    message = refusal({"_target_": GAUSSIAN, "scale": value}, domain=DOMAIN)
    assert message.startswith(f"{key}._target_=os.system is none of the shipped ones")


def test_a_node_inside_a_node_arrives_as_its_factory() -> None:
    window = "coordnet.encodings.coarse_to_fine.CoarseToFine"
    node = {"_target_": window, "encoding": {"_target_": GAUSSIAN, "num_frequencies": 5, "seed": 7}}
    inner = build(node, "encoding", domain=DOMAIN).encoding
    assert torch.equal(inner.frequencies, gaussian(DOMAIN, num_frequencies=5, seed=7).frequencies)
    wrong = {**node, "encoding": {"_target_": GAUSSIAN, "num_frequncies": 5}}
    assert refusal(wrong, domain=DOMAIN).startswith("encoding.encoding.num_frequncies is unknown")
    assert refusal({"_target_": window, "encoding": 3}, domain=DOMAIN) == (
        "encoding.encoding=3 must be a node with a _target_"
    )


def test_lists_choices_and_nulls_are_named_in_plain_words() -> None:
    image = "coordnet.signals.images.image.image_file"
    with pytest.raises(
        UserError,
        match=r"^signal\.crop='all' must be a list of 4 whole numbers from 0 to 178956970 pixels, or null$",
    ):
        build({"_target_": image, "path": "a.png", "crop": "all"}, "signal")
    with pytest.raises(UserError, match=r"^signal\.background='pink' must be one of white, black or null$"):
        build({"_target_": image, "path": "a.png", "background": "pink"}, "signal")


def test_what_the_program_gives_is_not_for_a_config_to_set() -> None:
    network = {"_target_": "coordnet.networks.mlp.Mlp", "in_dim": 77}
    with pytest.raises(UserError, match=r"^network\.in_dim "):
        build(network, "network", in_dim=2, out_dim=1)


def test_missing_and_superfluous_arguments_are_told() -> None:
    assert "'domain'" in refusal({"_target_": GAUSSIAN})
    assert "'color'" in refusal({"_target_": GAUSSIAN}, domain=DOMAIN, color=3)
    # A shipped target in the wrong group.
    assert "torch.optim.Adam" in refusal({"_target_": "torch.optim.Adam"}, domain=DOMAIN)


@pytest.mark.parametrize("value", [3, "three", None, [1], {"a": 1}])
def test_options_without_a_type_take_anything(canary: str, value: object) -> None:
    node = {"_target_": "canary_room.bird.Untyped", "wings": value}
    assert build(node, "encoding", ["canary_room."], domain=DOMAIN).wings == value


def test_a_value_error_from_within_becomes_one_line_with_the_key(canary: str) -> None:
    message = refusal({"_target_": "canary_room.bird.Dead"}, allow=["canary_room."], domain=DOMAIN)
    assert message == "encoding: no more"
    assert refusal({"_target_": GAUSSIAN, "scale": -1.0}, domain=DOMAIN).startswith("encoding.scale=-1.0 ")


@pytest.mark.parametrize(
    "value, hint, fits",
    [
        (3, float, True),
        (3, int, True),
        (3.0, int, False),
        (True, int, False),
        (True, float, False),
        (True, bool, True),
        (1, bool, False),
        ("a", str, True),
        (None, float | None, True),
        (None, float, False),
        ([1, 2], Sequence[int], True),
        ([1, 2.5], Sequence[int], False),
        ("12", Sequence[int], False),
        ([0.9, 0.999], tuple[float, float], True),
        ("b", Literal["a", "b"], True),
        ("c", Literal["a", "b"], False),
        ({}, Domain, False),
        ({}, Any, True),
    ],
)
def test_matches(value: object, hint: Any, fits: bool) -> None:
    assert matches(value, hint) == fits


def test_did_you_mean() -> None:
    assert did_you_mean("gausian", ["gaussian", "dense"]) == "; did you mean gaussian?"
    assert did_you_mean("zzz", ["gaussian", "dense"]) == "; known are dense, gaussian"


def test_an_allowed_package_does_not_allow_another_that_begins_like_it() -> None:
    with pytest.raises(UserError, match="none of the shipped ones"):
        factory({"_target_": "collections_abc.OrderedDict"}, "encoding", allow=["collections"])
