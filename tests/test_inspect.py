import json
from pathlib import Path

import pytest
from support import coordnet

from coordnet.cli.inspect import finite, frequency_line, kernel_line, main
from coordnet.config.shipped import config_dir
from coordnet.errors import UserError


def run(directory: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> str:
    main([*words, "--output", str(directory)])
    return capsys.readouterr().out


def test_the_report_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(
        tmp_path / "a", "encoding=positional", "signal.resize=[64,64]", "signal=astronaut", capsys=capsys
    )
    report = json.loads((tmp_path / "a" / "report.json").read_text())
    assert (tmp_path / "a" / "report.png").stat().st_size > 10_000
    assert report["features"] == 16 and report["signal_size"] == [64, 64]
    for word in (
        "formula",
        "frequencies",
        "kernel",
        "Gram matrix",
        "shift by 1",
        "proposal",
        "encoding.scale=",
    ):
        assert word in printed


def test_numbers_of_the_command_line_reach_the_encoding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("encoding=positional", "encoding.num_frequencies=9", "signal.resize=[64,64]")
    printed = run(tmp_path / "a", *words, capsys=capsys)
    assert "warning: 56 % are at or above the training Nyquist 16" in printed


def test_json_holds_no_bare_infinity(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(tmp_path / "a", "encoding=binary", "signal=sequence", capsys=capsys)
    text = (tmp_path / "a" / "report.json").read_text()
    assert "Infinity" not in text and json.loads(text)["lipschitz"]["constant"] == "infinite"
    assert "infinite: features jump" in printed
    assert finite({"a": [float("inf"), 1.0]}) == {"a": ["infinite", 1.0]}


@pytest.mark.parametrize("name", sorted(file.stem for file in (config_dir() / "encoding").glob("*.yaml")))
def test_every_shipped_encoding_can_be_inspected(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signal = ("signal=sphere",) if name == "spherical_harmonics" else ("signal.resize=[24,16]",)
    assert "formula" in run(tmp_path / "a", f"encoding={name}", *signal, capsys=capsys)


@pytest.mark.parametrize(
    "words, message",
    [
        (("encoding=positionl",), "encoding=positionl does not exist; did you mean positional?"),
        (("encoding.scal=3",), "encoding.scal is no key of this config; did you mean encoding.scale?"),
        (
            ("encoding.scale=-3",),
            "encoding.scale=-3 must be a number from 2^-24 to 2^24 cycles across the domain",
        ),
        (("encoding.scale=three",), "encoding.scale='three' must be"),
        (("seed=-1",), "seed=-1 must be a whole number from 0"),
        (
            ("encoding=positional", "encoding.num_frequencies=2000"),
            "encoding.frequencies=inf must be at most 2^24",
        ),
        (("encoding=sine", "encoding.num_frequencies=200"), "encoding.frequencies=inf must be at most 2^24"),
        (
            ("encoding=triangle", "encoding.num_frequencies=200"),
            "encoding.frequencies=inf must be at most 2^24",
        ),
        (("encoding.scale=1e39",), "encoding.scale=1e+39 must be a number from 2^-24 to 2^24"),
        (("signal=image",), "signal.path has no value; give signal.path=..."),
        (("--config-dir", "nowhere"), "--config-dir nowhere does not exist"),
    ],
)
def test_a_mistake_is_one_line_and_makes_nothing(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError) as error:
        main([*words, "--output", str(tmp_path / "a")])
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert not (tmp_path / "a").exists()


def test_a_directory_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(UserError, match="is not a new or empty directory"):
        main(["--output", str(tmp_path)])


def test_the_command_line_knows_it(tmp_path: Path) -> None:
    done = coordnet("inspect", "encoding=sine", "signal.resize=[32,32]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "outputs" / "inspect").glob("*/report.json"))) == 1
    wrong = coordnet("inspect", "encoding=sin", cwd=tmp_path)
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1


def test_a_line_without_waves_says_so() -> None:
    assert frequency_line(None) == "none: no feature is a wave"


def test_a_kernel_that_never_falls_says_so() -> None:
    kernel = {"width": None, "anisotropy": None, "spread": 0.0}
    assert kernel_line(kernel) == "does not fall to one half along x within half of the domain"
