"""Checks of configs: names that a config may not hold, and values of the wrong kind."""

import inspect
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from support import make_config

from coordnet.cli.main import main
from coordnet.config.build import build
from coordnet.config.check import REFUSED_TRAINER_KEYS, check_config, check_settings, check_targets
from coordnet.config.settings import TrainerSettings
from coordnet.errors import UserError

CANARY = "touch canary"
HOSTILE = {
    "sympy.sympify": f"__import__('os').system('{CANARY}')",
    "os.system": CANARY,
    "torch.load": "canary.pt",
    "torch.utils.cpp_extension.load_inline": "canary",
    "pathlib.Path.write_text": "canary",
    "logging.os.system": CANARY,
    "coordnet.cli.main.os.system": CANARY,
    "coordnet.encodings.fourier.torch.load": "canary.pt",
    "builtins.eval": "1",
}


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["coordnet"])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command was refused with; nothing was made."""
    before = set(os.listdir())
    try:
        code = main(list(arguments))
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else 1
    said = capsys.readouterr().err
    assert code == 2 and said.count("\n") == 1, said
    assert set(os.listdir()) == before
    return said


@pytest.mark.reliability("T09")
@pytest.mark.parametrize("target", HOSTILE)
@pytest.mark.parametrize("key", ["hydra.callbacks.x", "encoding", "hydra.launcher", "hydra.sweeper"])
def test_no_override_makes_anything_be_called(
    key: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "train", f"++{key}._target_={target}", f'++{key}.a="{HOSTILE[target]}"')
    assert f"{key}._target_={target} is none of the shipped ones" in said


@pytest.mark.reliability("T09")
@pytest.mark.parametrize(
    ("where", "text"),
    [
        (
            "hydra.callbacks.x._target_",
            "hydra: {callbacks: {x: {_target_: os.system, command: touch canary}}}",
        ),
        (
            "hydra.job_logging.handlers.x.()",
            "hydra: {job_logging: {version: 1, handlers: {x: {(): os.system, command: touch canary}}}}",
        ),
        (
            "hydra.hydra_logging.handlers.x.class",
            "hydra: {hydra_logging: {version: 1, handlers: {x: {class: subprocess.Popen, args: ls}}}}",
        ),
        (
            "hydra.job_logging.handlers.x.stream",
            "hydra: {job_logging: {version: 1, handlers: {x: {stream: 'ext://antigravity'}}}}",
        ),
        ("encoding.inner.0._target_", "encoding: {inner: [{_target_: os.system}]}"),
        ("encoding._target_", "a: os.system\nencoding: {_target_: '${a}'}"),
    ],
)
def test_no_config_file_makes_anything_be_called(
    where: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine/experiment").mkdir(parents=True)
    Path("mine/experiment/bad.yaml").write_text(f"# @package _global_\n{text}\n")
    for command in ("train", "inspect"):
        assert where in refused(capsys, command, "--config-dir", "mine", "+experiment=bad".removeprefix("+"))


@pytest.mark.reliability("T09")
@pytest.mark.parametrize("key", ["_partial_", "_args_", "_convert_", "_recursive_"])
def test_forms_of_hydras_instantiate_mean_nothing(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"encoding.{key} is unknown" in refused(capsys, "train", f"+encoding.{key}=true")


def test_rerun_of_a_pickle_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "would run what a pickle file holds" in refused(
        capsys, "train", "--experimental-rerun", "x.pickle"
    )


def test_an_allowed_package_is_allowed_in_hydras_part_too() -> None:
    node = {"hydra": {"callbacks": {"mine": {"_target_": "mypkg.Callback"}}}}
    check_targets(node, ["mypkg."])
    with pytest.raises(UserError, match=r"--allow mypkg\."):
        check_targets(node, [])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("width", "abc", "network.width='abc' must be a whole number"),
        ("width", [3], r"network.width=\[3\] must be a whole number"),
        ("width", float("nan"), "network.width=nan must be a whole number"),
        ("width", 2.5, "network.width=2.5 must be a whole number"),
        ("width", True, "network.width=True must be a whole number"),
    ],
)
def test_numbers_are_numbers(key: str, value: object, said: str) -> None:
    network = {**make_config()["network"], key: value}
    with pytest.raises(UserError, match=said):
        build(network, "network", in_dim=2, out_dim=1)


def test_groups_of_several_options_are_mappings_from_names_to_nodes() -> None:
    config = make_config("loss=[mse]", "loss.mse.weight=0.5", "logger=[]")
    check_config(config)
    assert config["loss"]["mse"]["weight"] == 0.5
    assert config["logger"] == config["metric"] == config["callbacks"] == {} and config["evaluator"] is None
    with pytest.raises(UserError, match=r"logger\.a=3 must be a node with a _target_"):
        check_config({**config, "logger": {"a": 3}})
    with pytest.raises(UserError, match="metric=3 must be a mapping"):
        check_config({**config, "metric": 3})


def test_truth_values_are_truth_values() -> None:
    with pytest.raises(UserError, match=r"encoding\.trainable=1 must be true or false"):
        check_config(make_config("encoding.trainable=1"))


@pytest.mark.reliability("T37")
@pytest.mark.parametrize("value", [-1, 0, "much", [1], float("nan"), True])
def test_max_memory_is_a_number_of_gibibytes(value: Any) -> None:
    with pytest.raises(UserError, match=r"max_memory=.* must be a number above 0 to 2\^20 GiB, or null"):
        check_config({**make_config(), "max_memory": value})


@pytest.mark.reliability("T21")
@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["+encoding.num_frequncies=3"], "encoding.num_frequncies is unknown; did you mean num_frequencies?"),
        (["+optimizer.weight_dekay=0"], "optimizer.weight_dekay is unknown; did you mean weight_decay?"),
        (
            ["encoding=coarse_to_fine", "+encoding.encoding.min_freqency=1"],
            "encoding.encoding.min_freqency is unknown; did you mean min_frequency?",
        ),
        (
            ["encoding=composite", "encoding.parts.y.encoding.num_frequencies=0"],
            "encoding.parts.y.encoding.num_frequencies=0 must be a whole number from 1 to 65536, or null",
        ),
        (
            ["callbacks=[ntk]", "callbacks.ntk.steps=[1,2.5]"],
            r"callbacks.ntk.steps=[1, 2.5] must be a list of whole numbers from 0",
        ),
    ],
)
def test_options_of_nodes_are_known_at_any_depth(overrides: list[str], said: str) -> None:
    with pytest.raises(UserError) as error:
        check_config(make_config(*overrides))
    assert str(error.value).startswith(said)


def test_options_of_other_packages_are_held_to_their_signatures() -> None:
    config = make_config()
    config["encoding"] = {"_target_": "collections.Counter", "foo": 3}
    check_config(config, allow=["collections."])
    config["encoding"] = {"_target_": "fractions.Fraction", "foo": 3}
    with pytest.raises(UserError, match=r"encoding\.foo is unknown"):
        check_config(config, allow=["fractions."])
    with pytest.raises(UserError, match="--allow fractions"):
        check_config(config)
    check_settings(config)


def test_every_argument_of_the_trainer_is_an_own_key_or_honored_or_refused() -> None:
    from lightning import Trainer

    honored = {field.name for field in fields(TrainerSettings)} - {"batch_size", "pictures"}
    assert not honored & REFUSED_TRAINER_KEYS.keys()
    assert honored | REFUSED_TRAINER_KEYS.keys() == inspect.signature(Trainer).parameters.keys()


def test_a_run_without_steps_needs_no_schedule() -> None:
    check_config(make_config("max_steps=0"))


MISTAKES = (
    *("max_steps=-1", "eval_every=often", "trainer.log_every_n_steps=0", "seed=-1", "encoding.scal=3"),
    *("trainer.max_epochs=3", "encoding=gausian", "baseline=cubic", "+foo=1", "signal._target_=os.mkdir"),
)


@pytest.mark.reliability("T21")
def test_mistakes_in_settings_show_before_torch_is_loaded() -> None:
    code = (
        "import sys; from coordnet.cli.main import main\n"
        "for override in sys.argv[1:]:\n"
        "    try: code = main(['train', override])\n"
        "    except SystemExit as exit: code = exit.code\n"
        "    assert code == 2 and 'torch' not in sys.modules, override\n"
        "assert main(['inspect', 'seed=-1']) == 2 and 'torch' not in sys.modules\n"
        "assert main(['train', '-m', 'max_steps=-1,16']) == 2 and 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *MISTAKES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert len(said) == len(MISTAKES) + 2
    for line, override in zip(said, MISTAKES, strict=False):
        assert override.lstrip("+").split("=")[0].split(".")[0] in line
