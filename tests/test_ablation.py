import csv
import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from support import SMALL, coordnet, make_config

from coordnet.config.check import check_config
from coordnet.config.shipped import config_dir
from coordnet.errors import UserError
from coordnet.sweeps.sweep import create_sweep, run_names, select_variants

VARIANTS = {
    "none": ["encoding=identity", "optimizer.lr=1"],
    "gauss": ["encoding=gaussian", "encoding.scale=10", "optimizer.lr=2"],
}


def test_variants_times_seeds_are_the_jobs_variant_by_variant() -> None:
    jobs = select_variants(VARIANTS, [["seed=0"], ["seed=1"]])
    assert [job[0] for job in jobs] == ["label=none", "label=none", "label=gauss", "label=gauss"]
    assert jobs[3] == ["label=gauss", "encoding=gaussian", "encoding.scale=10", "optimizer.lr=2", "seed=1"]


@pytest.mark.parametrize("selection", ["label=gauss", "encoding=gaussian"])
def test_the_command_line_selects_variants(selection: str) -> None:
    assert ["encoding.scale=10" in job for job in select_variants(VARIANTS, [[selection]])] == [True]


def test_the_command_line_wins_over_every_variant() -> None:
    jobs = select_variants(VARIANTS, [["optimizer.lr=5", "max_steps=3"]])
    assert len(jobs) == 2
    assert all("optimizer.lr=5" in job and "max_steps=3" in job and len(job) <= 5 for job in jobs)
    assert not any("optimizer.lr=1" in job or "optimizer.lr=2" in job for job in jobs)


def test_a_value_that_a_variant_happens_to_share_does_not_drop_the_others() -> None:
    assert len(select_variants(VARIANTS, [["optimizer.lr=1"]])) == 2


def test_a_label_that_is_no_plain_word_is_refused() -> None:
    with pytest.raises(UserError, match="must consist of letters"):
        select_variants({"L=7 (NeRF)": ["seed=1"]}, [[]])


def test_an_unknown_label_is_named() -> None:
    with pytest.raises(UserError, match="label=gaus is not a variant of this ablation; did you mean gauss"):
        select_variants(VARIANTS, [["label=gaus"]])


def test_a_sweep_never_moves_into_a_used_directory(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(UserError, match="is not empty"):
        create_sweep(tmp_path, [["seed=0"]], [{"label": None}])


def test_every_run_has_a_directory_name_that_says_what_it_is() -> None:
    assert run_names(select_variants(VARIANTS, [["seed=0"]])) == ["0-none", "1-gauss"]
    assert run_names([["a=x", "seed=0"], ["a=y/z", "seed=0"]]) == ["0-x", "1-y-z"]
    assert run_names([["a=x"]]) == ["0"]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three variants of the demo, small, one of which diverges."""
    directory = tmp_path_factory.mktemp("sweep")
    configs = directory / "conf" / "ablation"
    configs.mkdir(parents=True)
    (configs / "mine.yaml").write_text(
        "# @package _global_\n"
        "name: mine\n"
        "hydra: {sweeper: {variants: {\n"
        "  none: [encoding=identity], wild: [optimizer=sgd, optimizer.lr=1e30], cubic: [baseline=bicubic]}}}\n"
    )
    result = coordnet(
        *(
            "train",
            "--config-dir",
            "conf",
            "ablation=mine",
            "hydra.sweep.dir=out",
            "trainer.log_every_n_steps=1",
            *SMALL,
        ),
        cwd=directory,
    )
    assert result.returncode == 1, result.stderr
    assert "not all jobs finished" in result.stderr
    return directory / "out"


def test_a_job_that_diverges_leaves_the_others_running(sweep: Path) -> None:
    rows = list(csv.DictReader((sweep / "results.csv").read_text().splitlines()))
    assert [(row["label"], row["status"]) for row in rows] == [
        *(("none", "finished"), ("wild", "diverged"), ("cubic", "finished"))
    ]
    assert float(rows[0]["test/psnr"]) > 5 and rows[0]["encoding"] == "identity"
    assert int(rows[0]["parameters"]) == 2 * 16 + 16 + 16 * 16 + 16 + 16 * 3 + 3


def test_a_sweep_has_a_job_list_a_table_and_a_contact_sheet(sweep: Path) -> None:
    jobs = json.loads((sweep / "sweep.json").read_text())["jobs"]
    assert [job["overrides"][0] for job in jobs] == ["label=none", "label=wild", "label=cubic"]
    report = (sweep / "report.md").read_text()
    assert "diverged" in report and "test PSNR" in report
    assert (sweep / "contact_sheet.png").stat().st_size > 1000


ABLATIONS = sorted(file.stem for file in (config_dir() / "ablation").glob("*.yaml"))


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_shipped_ablation_says_how_to_launch_it(name: str) -> None:
    text = (config_dir() / "ablation" / f"{name}.yaml").read_text()
    assert f"coordnet train ablation={name}" in text


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_variant_of_a_shipped_ablation_is_a_config_that_can_be_run(name: str) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        whole = compose("train", overrides=[f"ablation={name}"], return_hydra_config=True)
    sweeper, parser = whole.hydra.sweeper, OverridesParser.create()
    swept = [parser.parse_override(f"{key}={values}") for key, values in sweeper.params.items()]
    first = [
        f"{o.key_or_group}={next(o.sweep_string_iterator())}" if o.is_sweep_override() else str(o.input_line)
        for o in swept
    ]
    for own in sweeper.variants.values():
        check_config(make_config(f"ablation={name}", *own, *first))
