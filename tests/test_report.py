"""Reports of sweeps whose files are written here, and of one that was trained."""

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
from support import SMALL, make_config

from coordnet.cli.report import main as report_command
from coordnet.errors import UserError
from coordnet.reports.figures import mean_curve
from coordnet.reports.frequencies import (
    KINDS,
    MIN_ERROR,
    error_columns,
    error_map,
    first_beyond,
    learned_table,
    training_nyquist,
)
from coordnet.reports.report import summary_lines, write_report
from coordnet.reports.results import load_sweep
from coordnet.reports.tables import difference_table, markdown, variant_table
from coordnet.reports.variants import equal_seconds, job_names, main_score, make_variants, matching_rule
from coordnet.runs.directory import lock_run_dir
from coordnet.sweeps.sweep import FORMAT, create_sweep, read_sweep
from coordnet.training.run import start

Metrics = Mapping[str, Sequence[float]]


def job(
    label: str | None = None,
    seed: int = 0,
    signal: str = "a",
    overrides: Sequence[str] = (),
    metrics: Metrics | None = None,
    steps: Sequence[int] = (0, 50, 100),
    speed: float = 0.1,
    status: str = "finished",
    parameters: int = 1000,
    **facts: Any,
) -> dict[str, Any]:
    """Describe the files of one job: `metrics` at `steps`, with `speed` seconds per step."""
    named = [] if label is None else [f"label={label}"]
    return {
        "label": label,
        "overrides": [*named, *overrides, f"signal={signal}", f"seed={seed}"],
        "config": {
            "name": "mine",
            "label": label,
            "seed": seed,
            "signal": {"path": signal},
            "max_steps": 100,
            "baseline": "bicubic" if steps == (0,) else None,
        },
        "status": {"status": status, "parameters": parameters, "torch": "2.0", "training_nyquist": 8.0}
        | facts,
        "history": [
            {"step": step, "seconds": step * speed, "train/loss": math.nan}
            | {name: values[i] for name, values in (metrics or {"test/psnr": (10, 20, 30)}).items()}
            for i, step in enumerate(steps)
        ],
    }


def write_sweep(
    directory: Path, jobs: Sequence[dict[str, Any]], reference: str | None = None, match: str = "steps"
) -> Path:
    listed = []
    for i, one in enumerate(jobs):
        run = directory / f"{i}-{one['label'] or 'job'}"
        run.mkdir(parents=True)
        listed.append({"job": i, "run": run.name} | {k: one[k] for k in ("label", "overrides", "config")})
        if one["status"]["status"] != "not started":
            (run / "status.json").write_text(json.dumps(one["status"]))
        if one["history"]:
            with (run / "metrics.csv").open("w") as file:
                writer = csv.DictWriter(file, list(one["history"][0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(one["history"])
    sweep = {
        "format": FORMAT,
        "command": ["coordnet", "train", "a=b c"],
        "reference": reference,
        "match": match,
    }
    (directory / "sweep.json").write_text(json.dumps(sweep | {"jobs": listed}))
    return directory


def ends(value: float) -> Metrics:
    """A curve of test PSNR that ends at a value."""
    return {"test/psnr": (value - 20, value - 10, value)}


def variants_of(directory: Path) -> list[dict[str, str]]:
    sweep = load_sweep(directory)
    return variant_table(sweep, make_variants(sweep))


def differences_of(directory: Path) -> list[dict[str, str]]:
    sweep = load_sweep(directory)
    return difference_table(sweep, make_variants(sweep), ["test/psnr"])


# Variants


def test_seeds_and_signals_are_replicates_of_a_variant(tmp_path: Path) -> None:
    jobs = [job(label, seed, signal) for label in ("none", "gauss") for signal in "ab" for seed in (0, 1)]
    table = variants_of(write_sweep(tmp_path, jobs))
    assert [(line["variant"], line["n"]) for line in table] == [("none", "4"), ("gauss", "4")]


def test_what_else_is_swept_within_a_label_makes_variants_of_its_own(tmp_path: Path) -> None:
    jobs = [
        *(job("a", seed, overrides=[f"lr={lr}"]) for lr in (1, 2) for seed in (0, 1)),
        job("b", overrides=["lr=1"]),
    ]
    assert [line["variant"] for line in variants_of(write_sweep(tmp_path, jobs))] == ["a lr=1", "a lr=2", "b"]


def test_without_labels_variants_are_named_by_what_was_swept(tmp_path: Path) -> None:
    jobs = [job(seed=s, overrides=["max_steps=5", f"encoding={e}"]) for e in ("x", "y") for s in (0, 1)]
    sweep = load_sweep(write_sweep(tmp_path, jobs))
    assert [variant.name for variant in make_variants(sweep)] == ["encoding=x", "encoding=y"]
    assert job_names(sweep)[1] == "encoding=x seed=1"


def test_where_only_signals_were_swept_they_are_the_variants(tmp_path: Path) -> None:
    jobs = [job(seed=s, overrides=[f"signal.size={n}"]) for n in (8, 16) for s in (0, 1)]
    table = variants_of(write_sweep(tmp_path, jobs))
    assert [(line["variant"], line["n"]) for line in table] == [
        ("signal.size=8", "2"),
        ("signal.size=16", "2"),
    ]


def test_a_sweep_over_seeds_alone_is_one_variant_without_differences(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path, [job(seed=0, metrics=ends(30)), job(seed=1, metrics=ends(32))])
    assert [(line["variant"], line["test PSNR"]) for line in variants_of(directory)] == [
        ("mine", "31.00 ± 1.41")
    ]
    assert differences_of(directory) == []
    write_report(directory)
    assert "Paired differences" not in (directory / "report.md").read_text()


def test_known_metrics_come_first_and_what_has_one_per_frequency_does_not_come(tmp_path: Path) -> None:
    names = (
        "other/iou",
        "band_error/0002-0004",
        "band_psnr/in",
        "sine_error/k005",
        "ntk/rank",
        "extrapolation/nmse",
    )
    values = dict.fromkeys(names, (1.0, 1.0, 0.123456))
    jobs = [job("a", metrics=values), job("b", metrics={"late/psnr": (1.0,) * 3})]
    first, second = variants_of(write_sweep(tmp_path, jobs))
    shown = ["variant", "n", "parameters", "NMSE extrapolation", "other/iou", "late/psnr", "seconds"]
    assert list(first) == list(second) == shown
    assert list(first.values()) == ["a", "1", "1,000", "0.1235", "0.1235", "–", "10.0"]
    assert second["late/psnr"] == "1.00" and second["other/iou"] == "–"


def test_curves_show_the_test_score_where_there_is_one(tmp_path: Path) -> None:
    values = {"train/psnr": (1.0,) * 3, "val/psnr": (1.0,) * 3, "test/ssim": (1.0,) * 3}
    assert (
        main_score(make_variants(load_sweep(write_sweep(tmp_path / "1", [job("a", metrics=values)]))))
        == "test/ssim"
    )
    values.pop("test/ssim")
    assert (
        main_score(make_variants(load_sweep(write_sweep(tmp_path / "2", [job("a", metrics=values)]))))
        == "val/psnr"
    )


def test_markdown_has_cells_of_equal_width_and_no_bar_within_one() -> None:
    lines = markdown([{"variant": "a|b", "n": "1"}, {"variant": "longer", "n": "12,345"}])
    assert lines == [
        "| variant |      n |",
        "| ------- | ------ |",
        "| a\\|b    |      1 |",
        "| longer  | 12,345 |",
    ]


# Differences


def test_differences_are_paired_by_signal_and_seed(tmp_path: Path) -> None:
    scores = {("a", 0): 20.0, ("a", 1): 25.0, ("b", 0): 40.0}
    gains = {("a", 0): 1.0, ("a", 1): 2.0, ("b", 0): 3.0}
    jobs = [job("none", seed, signal, metrics=ends(v)) for (signal, seed), v in scores.items()]
    # In another order, and with one that has no partner.
    jobs += [job("gauss", k[1], k[0], metrics=ends(scores[k] + gains[k])) for k in reversed(scores)]
    jobs += [job("gauss", 7, metrics=ends(99))]
    (line,) = differences_of(write_sweep(tmp_path, jobs))
    # 4.302653 is the 97.5 % quantile of Student's distribution with 2 degrees of freedom.
    low, high = (2 + sign * 4.302653 / math.sqrt(3) for sign in (-1, 1))
    assert line == {
        "variant": "gauss",
        "minus": "none",
        "pairs": "3",
        "test PSNR": f"+2.00 [{low:.2f}, +{high:.2f}]",
    }


def test_each_variant_is_compared_with_the_reference_and_with_the_variant_above(tmp_path: Path) -> None:
    levels = {"a": 20.0, "b": 25.0, "c": 31.0}
    jobs = [
        job(n, s, metrics=ends(v + s * len(n) + (n == "c") * s / 10))
        for n, v in levels.items()
        for s in (0, 1)
    ]
    first = differences_of(write_sweep(tmp_path / "1", jobs))
    assert [(line["variant"], line["minus"]) for line in first] == [("b", "a"), ("c", "a"), ("c", "b")]
    assert first[0]["test PSNR"] == "+5.00"
    assert first[1]["test PSNR"] == "+11.05 [+10.41, +11.69] *"
    second = differences_of(write_sweep(tmp_path / "2", jobs, reference="b"))
    assert [(line["variant"], line["minus"]) for line in second] == [("a", "b"), ("c", "b")]
    assert second[0]["test PSNR"] == "-5.00"


def test_variants_that_share_no_signal_have_no_difference(tmp_path: Path) -> None:
    jobs = [
        job(label, signal=signal) for label, signals in {"a": "vw", "b": "xy"}.items() for signal in signals
    ]
    (line,) = differences_of(write_sweep(tmp_path, jobs))
    assert (line["pairs"], line["test PSNR"]) == ("0", "–")


def test_variants_with_a_signal_of_their_own_are_paired_by_seed(tmp_path: Path) -> None:
    scores = {"straight": [20.0, 24.0], "turned": [17.0, 23.0]}
    jobs = [
        job(label, seed, signal=label, metrics=ends(score))
        for label, found in scores.items()
        for seed, score in enumerate(found)
    ]
    (line,) = differences_of(write_sweep(tmp_path, jobs))
    # 12.7062 is the 97.5 % quantile of Student's distribution with 1 degree of freedom.
    assert line["pairs"] == "2"
    assert line["test PSNR"] == f"-2.00 [{-2 - 12.7062:.2f}, +{-2 + 12.7062:.2f}]"


def test_the_report_counts_the_seeds_and_signals_of_one_variant(tmp_path: Path) -> None:
    jobs = [job(label, seed, signal=label) for label in "abc" for seed in (0, 1, 2)]
    write_report(write_sweep(tmp_path / "1", jobs))
    text = (tmp_path / "1" / "report.md").read_text()
    assert "over 3 seeds and 1 signal per variant" in text and "hold for other seeds" in text
    write_report(write_sweep(tmp_path / "2", [*jobs, job("a", 0, signal="d")]))
    text = (tmp_path / "2" / "report.md").read_text()
    assert "over 3 seeds and 1 to 2 signals per variant" in text and "hold for other seeds" not in text
    write_report(write_sweep(tmp_path / "3", [job("a"), job("b")]))
    assert "deviations" not in (tmp_path / "3" / "report.md").read_text()


def test_a_reference_that_was_not_run_is_replaced_by_the_first_variant(tmp_path: Path) -> None:
    (line,) = differences_of(write_sweep(tmp_path, [job("a"), job("b")], reference="none"))
    assert line["minus"] == "a"


# Equal steps, parameters or seconds


def said(directory: Path) -> str:
    sweep = load_sweep(directory)
    return matching_rule(sweep, make_variants(sweep))


def test_equal_steps_are_said_or_that_they_are_not_equal(tmp_path: Path) -> None:
    jobs = [job("a"), job("b"), job("c", steps=(0,))]
    assert "every trained variant takes 100 steps" in said(write_sweep(tmp_path / "1", jobs))
    jobs[1]["config"]["max_steps"] = 1200
    assert "jobs take 100 or 1,200 steps" in said(write_sweep(tmp_path / "2", jobs))


def test_equal_parameters_are_held_within_two_percent_of_the_reference(tmp_path: Path) -> None:
    jobs = [job("a", parameters=1000), job("b", parameters=1019), job("c", steps=(0,), parameters=0)]
    words = said(write_sweep(tmp_path / "1", jobs, "a", "parameters"))
    assert "the 1,000 parameters of a" in words and "except" not in words
    jobs.append(job("d", parameters=1021))
    assert "except that d has 1,021 (+2%)" in said(write_sweep(tmp_path / "2", jobs, "a", "parameters"))


def test_equal_parameters_may_take_a_width_for_each_signal(tmp_path: Path) -> None:
    jobs = [job("a", signal=s, overrides=[f"network.width={w}"]) for s, w in (("x", 10), ("y", 12))]
    assert [line["variant"] for line in variants_of(write_sweep(tmp_path, jobs, match="parameters"))] == ["a"]


def test_equal_seconds_interpolate_every_trained_variant_where_the_quickest_ended(tmp_path: Path) -> None:
    jobs = [
        job("quick", speed=0.1),
        job("slow", speed=0.4),
        job("killed", speed=0.01, status="running"),
        job("cubic", steps=(0,), metrics={"test/psnr": (27.0,)}),
    ]
    directory = write_sweep(tmp_path, jobs, match="seconds")
    assert equal_seconds(load_sweep(directory)) == 10
    assert "at 10 s of training" in said(directory)
    table = {
        line["variant"]: (line["test PSNR"], line["steps"], line["seconds"])
        for line in variants_of(directory)
    }
    # At 10 s the slow one is at step 25 of its 100, half way between its first two evaluations.
    assert table["quick"] == ("30.00", "100", "10.0")
    assert table["slow"] == ("15.00", "25", "10.0")
    assert table["cubic"] == ("27.00", "0", "0.0")
    write_report(directory)
    assert [row["test/psnr"] for row in read_csv(directory)] == ["30.0", "30.0", "30.0", "27.0"]


# Faults


def read_csv(directory: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((directory / "results.csv").read_text().splitlines()))


@pytest.mark.reliability("T24")
def test_what_is_not_finished_is_flagged_and_left_out_and_the_others_are_as_they_were(tmp_path: Path) -> None:
    labels = ("none", "gauss")
    whole = [job(label, seed, metrics=ends(20 + seed + len(label))) for label in labels for seed in (0, 1)]
    broken = [
        *(job("none", seed, metrics=ends(90)) for seed in range(2, 10)),
        job("gauss", 2, status="diverged", steps=(0, 50), reason="train/loss is nan\nat step 51"),
        job("gauss", 3, status="not started", steps=()),
        job("gauss", 4, status="failed", steps=(), reason="KeyError", traceback="Traceback ..."),
        job("gauss", 5, status="timeout", steps=(0, 50)),
        job("gauss", 6, status="running", steps=(0, 50)),
    ]
    straight = write_sweep(tmp_path / "straight", whole)
    sweep = write_sweep(tmp_path / "sweep", [*whole, *broken])
    run = [sweep / f"{i}-none" for i in range(4, 12)]
    text = (run[0] / "metrics.csv").read_text()
    (run[0] / "metrics.csv").write_text(text[: text.index("100,")])
    (run[1] / "metrics.csv").write_text(text[:-4])
    (run[2] / "metrics.csv").write_text(text.replace("50,", "5\x00,"))
    (run[3] / "metrics.csv").write_bytes(b"\xff\xfe\x00" + bytes(range(200)) + b"\n1,2\n")
    (run[4] / "metrics.csv").write_text(text + text.partition("\n")[2])
    (run[5] / "metrics.csv").unlink()
    (run[6] / "status.json").write_text('{"status": "fini')
    (run[7] / "status.json").unlink()
    statuses = write_report(sweep)
    assert statuses == [
        *["finished"] * 4,
        *("incomplete", "incomplete", "damaged", "damaged", "damaged", "incomplete", "damaged", "damaged"),
        *("diverged", "not started", "failed", "timeout", "killed"),
    ]
    reasons = [row["reason"] for row in read_csv(sweep)]
    assert reasons[:4] == [""] * 4
    assert reasons[4] == reasons[5] == "metrics.csv ends early; 50 of 100 steps are missing"
    assert reasons[6].startswith("metrics.csv is damaged: line 3:") and "100 of 100 steps" in reasons[6]
    assert reasons[7].startswith("metrics.csv is damaged: line 2:") and "100 of 100" in reasons[7]
    assert reasons[8] == "metrics.csv is damaged: line 5 goes back in time"
    assert reasons[9] == "metrics.csv holds no evaluation; 100 of 100 steps are missing"
    assert reasons[10].startswith("status.json is damaged:")
    assert reasons[12] == "train/loss is nan at step 51; 50 of 100 steps are missing"
    assert reasons[13] == "100 of 100 steps are missing" and reasons[14].startswith("KeyError; 100 of 100")
    expected = variants_of(straight)
    for line, before in zip(variants_of(sweep), expected, strict=True):
        assert line.pop("jobs").startswith(("5 damaged, 2 finished", "1 diverged, 1 failed, 2 finished"))
        assert line == before
    assert differences_of(sweep) == differences_of(straight)
    page = (sweep / "report.html").read_text()
    assert (
        "13 of 17 jobs have not finished" in page
        and "All means, differences, curves and maps leave them out" in page
    )
    assert "Traceback" not in page


def test_a_variant_of_which_nothing_finished_stays_in_the_table(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path, [job("a", status="diverged", steps=(0,)), job("b"), job("c", steps=())])
    jobs = [(line["variant"], line["n"], line["jobs"], line["test PSNR"]) for line in variants_of(directory)]
    assert jobs == [
        ("a", "0", "1 diverged", "–"),
        ("b", "1", "1 finished", "30.00"),
        ("c", "0", "1 incomplete", "–"),
    ]
    assert [line["test PSNR"] for line in differences_of(directory)] == ["–", "–", "–"]
    write_report(directory)


@pytest.mark.parametrize("status", ["not started", "failed"])
def test_a_sweep_without_any_result_has_a_report(tmp_path: Path, status: str) -> None:
    directory = write_sweep(
        tmp_path, [job(label, status=status, steps=()) for label in "ab"], match="seconds"
    )
    assert write_report(directory) == [status] * 2
    assert "no trained job has finished" in (directory / "report.html").read_text()


def test_a_job_that_is_running_is_not_taken_for_killed(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path, [job("a", status="running", steps=(0, 50)), job("b")])
    with lock_run_dir(directory / "0-a"):
        assert write_report(directory) == ["running", "finished"]
    assert write_report(directory) == ["killed", "finished"]


def test_values_that_are_not_finite_are_shown_as_they_are(tmp_path: Path) -> None:
    jobs = [
        *(job("a", seed, metrics={"test/psnr": (1.0, math.nan, math.inf)}) for seed in (0, 1)),
        *(job("b", seed, metrics={"test/psnr": (1.0, 2.0, math.nan)}) for seed in (0, 1)),
        *(job("c", seed, metrics={"test/psnr": (math.nan,) * 3}) for seed in (0, 1)),
    ]
    directory = write_sweep(tmp_path, jobs)
    assert [line["test PSNR"] for line in variants_of(directory)] == ["inf ± nan", "nan ± nan", "nan ± nan"]
    assert not any("*" in line["test PSNR"] for line in differences_of(directory))
    write_report(directory)


@pytest.mark.parametrize(
    ("value", "steps"), [(0.0, (0, 50, 100)), (-5.0, (100,)), (1e300, (0, 50, 100)), (1.0, (100,))]
)
def test_values_that_never_change_can_be_drawn(tmp_path: Path, value: float, steps: Sequence[int]) -> None:
    values = {name: (value,) * len(steps) for name in ("test/nmse", "test/psnr", *BANDS)}
    jobs = [job(label, metrics=values, steps=steps) for label in ("a", "_b", "$c^{$")]
    assert write_report(write_sweep(tmp_path, jobs)) == ["finished"] * 3


@pytest.mark.parametrize("change", [{"seed": None}, {"max_steps": "many"}, {"name": None}])
def test_a_damaged_job_list_is_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    broken = job("a")
    broken["config"] |= change
    if change == {"seed": None}:
        del broken["config"]["seed"]
    if change == {"name": None}:
        broken["config"] = {}
    with pytest.raises(UserError, match="is damaged: its list of jobs"):
        load_sweep(write_sweep(tmp_path, [broken]))


def test_a_sweep_of_an_older_version_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text('{"format": 2, "fairness": "steps", "jobs": []}')
    with pytest.raises(UserError, match=r"has format 2; this version reads format 3$"):
        load_sweep(tmp_path)


@pytest.mark.reliability("T24")
def test_a_picture_that_a_kill_cut_short_gives_way_to_the_one_before(tmp_path: Path) -> None:
    directory = write_sweep(tmp_path, [job("a")])
    images = directory / "0-a" / "images"
    images.mkdir()
    imageio.imwrite(images / "target-prediction-0000000.png", np.full((20, 60, 3), 255, np.uint8))
    (images / "target-prediction-0000010.png").write_bytes(
        (images / "target-prediction-0000000.png").read_bytes()[:50]
    )
    write_report(directory)
    assert imageio.imread(directory / "contact_sheet.png").shape[1] == 60 + 8


# Frequencies over training


BANDS = ("band_error/0000-0002", "band_error/0002-0004", "band_error/0008-0011.3", "band_error/0004-0008")


def test_bands_are_ordered_by_frequency_and_nothing_else_is_a_band(tmp_path: Path) -> None:
    names = (*BANDS, "band_error/in", "band_error/out", "band_psnr/0000-0002", "sine_error/k005")
    values = dict.fromkeys(names, (1.0,) * 3)
    variants = make_variants(load_sweep(write_sweep(tmp_path, [job("a", metrics=values)])))
    bands, sines = KINDS
    assert error_columns(variants, bands) == [BANDS[0], BANDS[1], BANDS[3], BANDS[2]]
    assert list(learned_table(variants, bands)[0]) == ["variant", "0–2", "2–4", "4–8", "8–11.3"]
    assert error_columns(variants, sines) == ["sine_error/k005"]


def test_the_map_is_the_mean_of_logarithms_at_shared_steps(tmp_path: Path) -> None:
    low, high, _, empty = BANDS
    jobs = [
        job("a", 0, metrics={low: (1.0, 0.1, 0.01), high: (1.0, 1.0, 0.0)}),
        job("a", 1, metrics={low: (1.0, 10.0), empty: (math.nan,) * 2}, steps=(0, 100)),
        job("a", 2, metrics={low: (1e9,) * 2}, steps=(0, 50)),
        job("a", 3, metrics={low: (1e9,)}, steps=(0,)),
    ]
    (variant,) = make_variants(load_sweep(write_sweep(tmp_path, jobs)))
    steps, errors = error_map(variant, [low, high, empty])
    assert steps.tolist() == [0, 100]
    assert errors[:2] == pytest.approx(np.array([[0, (-2 + 1) / 2], [0, math.log10(MIN_ERROR)]]))
    assert np.isnan(errors[2]).all()


def test_steps_until_learned_are_the_median_over_jobs(tmp_path: Path) -> None:
    low, high, *_ = BANDS
    curves = {0: (1.0, 0.05, 0.01), 1: (0.05, 0.5, 0.09), 2: (0.09, 0.01, 0.01)}
    jobs = [job("a", seed, metrics={low: values, high: (1.0, 0.05, 0.2)}) for seed, values in curves.items()]
    jobs += [job("b"), job("cubic", steps=(0,), metrics={low: (0.01,), high: (0.01,)})]
    table = learned_table(make_variants(load_sweep(write_sweep(tmp_path, jobs))), KINDS[0])
    assert [list(line.values()) for line in table] == [
        ["a", "50", "> 100"],
        ["b", "–", "–"],
        ["cubic", "–", "–"],
    ]


def test_a_nyquist_frequency_is_marked_where_all_trained_jobs_have_the_same(tmp_path: Path) -> None:
    values = dict.fromkeys(BANDS, (1.0,) * 3)
    jobs = [
        job("a", metrics=values),
        job("b"),
        job("c", steps=(0,), metrics={"test/psnr": (1.0,)}, training_nyquist=4.0),
    ]
    variants = make_variants(load_sweep(write_sweep(tmp_path / "1", jobs)))
    assert training_nyquist(variants) == 8
    assert (
        error_columns(variants, KINDS[0])[first_beyond(variants, KINDS[0]) or 0] == "band_error/0008-0011.3"
    )
    jobs[1]["status"]["training_nyquist"] = 4.0
    variants = make_variants(load_sweep(write_sweep(tmp_path / "2", jobs)))
    assert training_nyquist(variants) is None and first_beyond(variants, KINDS[0]) is None


def test_a_curve_is_the_mean_of_what_all_jobs_have(tmp_path: Path) -> None:
    jobs = [
        job("a", 0, metrics={"test/psnr": (10.0, 15.0, 20.0)}, speed=0.1),
        job("a", 1, metrics={"test/psnr": (12.0, 26.0)}, steps=(0, 100), speed=0.3),
        job("a", 2, metrics={"other/iou": (1.0,) * 3}),
    ]
    (variant,) = make_variants(load_sweep(write_sweep(tmp_path, jobs)))
    line = mean_curve(variant, "test/psnr")
    assert line.steps.tolist() == [0, 100] and line.seconds == pytest.approx([0, 20])
    assert line.mean.tolist() == [11, 23] and line.std == pytest.approx([math.sqrt(2), math.sqrt(18)])


# Files


class Page(HTMLParser):
    """Tags that were opened and what they point to; fails where one is closed that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        given = dict(attrs)
        self.sources += [given[key] or "" for key in ("src", "srcset", "data") if key in given]
        self.links += [given["href"] or ""] if "href" in given else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that has everything a report can have."""
    directory = tmp_path_factory.mktemp("full")
    values = {"test/psnr": (1.0, 2.0, 3.0), BANDS[0]: (1.0, 0.5, 0.01), "sine_error/k005": (1.0, 0.9, 0.8)}
    jobs = [
        job(label, seed, metrics=values, overrides=[f"x=<{seed // 4}&"])
        for label in "ab"
        for seed in range(7)
    ]
    failed = {"status": "failed", "reason": "<script>alert(1)</script>", "overrides": ["x=<1&"]}
    jobs.append(job("b", 7, metrics={"test/psnr": (1.0, 1.5)}, steps=(0, 10), **failed))
    write_sweep(directory, jobs)
    for i, shade in ((0, 0), (7, 255)):
        images = directory / f"{i}-{'ab'[i // 7]}" / "images"
        images.mkdir()
        imageio.imwrite(images / "target-prediction-0000100.png", np.full((20, 60, 3), shade, np.uint8))
    write_report(directory)
    return directory


def test_the_page_needs_nothing_besides_itself(full: Path) -> None:
    text = (full / "report.html").read_text()
    page = Page(text)
    assert not page.open
    assert len(page.sources) == 4 and all(source.startswith("data:image/") for source in page.sources)
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(page.tags)
    assert "url(" not in text and "@import" not in text
    assert "<script>alert(1)</script>; 90 of 100 steps are missing" in page.words


def test_the_page_links_to_every_run_and_every_picture(full: Path) -> None:
    links = Page((full / "report.html").read_text()).links
    assert all((full / link).exists() for link in links)
    assert {f"{run.name}/" for run in full.iterdir() if run.is_dir()} <= set(links)
    document = (full / "report.md").read_text()
    pictures = {"curves.svg", "bands.svg", "sines.svg", "contact_sheet.png"}
    assert pictures == {link for link in links if not link.endswith("/")}
    assert set(re.findall(r"\]\(([^)]+)\)", document)) == set(links)


def test_markdown_and_page_have_the_same_parts(full: Path) -> None:
    titles = re.findall(r"^## (.*)", (full / "report.md").read_text(), re.MULTILINE)
    expected = [
        "Not finished",
        "Variants",
        "Paired differences",
        "Curves",
        "Bands",
        "Sines",
        "Pictures",
        "All jobs",
    ]
    assert titles == [*expected, "How it was run"]
    assert re.findall("<h2>(.*?)</h2>", (full / "report.html").read_text()) == titles
    assert "    coordnet train 'a=b c'\n" in (full / "report.md").read_text()


def test_many_jobs_are_shown_by_one_picture_per_variant(full: Path) -> None:
    # The variants are those of "a" and "b" with two values of x each; two of the four drew something.
    assert len(load_sweep(full).results) == 15
    width, height = 60 + 8, 20 + 28
    assert imageio.imread(full / "contact_sheet.png").shape == (height + 4, 2 * width, 3)


def test_a_report_made_again_is_the_same(full: Path) -> None:
    before = {file: file.read_bytes() for file in full.iterdir() if file.is_file()}
    assert len(before) == 8
    write_report(full)
    assert before == {file: file.read_bytes() for file in full.iterdir() if file.is_file()}


def test_the_csv_file_has_every_metric_of_every_job(full: Path) -> None:
    lines = read_csv(full)
    assert [line["job"] for line in lines] == [str(i) for i in range(15)]
    first = {key: lines[0][key] for key in ("status", "label", "seed", "run", "parameters", "step", BANDS[0])}
    assert list(first.values()) == ["finished", "a", "0", "0-a", "1000", "100.0", "0.01"]
    assert lines[14]["sine_error/k005"] == "" and lines[14]["test/psnr"] == "1.5"


def test_the_terminal_shows_variants_differences_and_what_is_not_finished(full: Path) -> None:
    lines = summary_lines(full)
    assert lines[0].startswith("| variant") and lines[7].startswith("| variant | minus")
    assert lines[-2].startswith("1 of 15 jobs has not finished (1 failed). All means")
    assert lines[-1] == "  14-b: failed: <script>alert(1)</script>; 90 of 100 steps are missing"


# Runs that were trained


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trained")
    chosen = {
        "none": ["encoding=identity"],
        "gauss": ["encoding=gaussian"],
        "cubic": ["baseline=bicubic"],
    }
    jobs = [[f"label={label}", *own] for label, own in chosen.items()]
    configs = [make_config(*SMALL, "max_steps=8", *overrides) for overrides in jobs]
    create_sweep(directory, jobs, configs)
    for listed in read_sweep(directory)["jobs"]:
        start(listed["config"], directory / listed["run"])
    return directory


def test_a_trained_sweep_is_reported_in_full(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_command([str(trained)])
    printed = capsys.readouterr().out
    assert str(trained / "report.html") in printed
    assert re.search(r"\| gauss +\| none +\| +1 \| +[+-]\d", printed)
    page = (trained / "report.html").read_text()
    assert "the dashed line is at the training Nyquist frequency, 12" in page
    assert all(
        word in page for word in ("float32", "Linux", "<h2>Bands</h2>", "The last picture of each job")
    )
    lines = {line["label"]: line for line in read_csv(trained)}
    assert float(lines["gauss"]["train/psnr"]) > float(lines["none"]["train/psnr"])
    assert float(lines["cubic"]["train/psnr"]) > 100 and lines["cubic"]["parameters"] == "0"


def test_a_single_run_is_a_table_of_one_variant(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted((trained / "1-gauss").iterdir())
    report_command([str(trained / "1-gauss")])
    printed = capsys.readouterr().out
    assert printed.startswith("| variant") and "\n| gauss" in printed and "report.html" not in printed
    assert sorted((trained / "1-gauss").iterdir()) == before


def test_what_is_neither_a_sweep_nor_a_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a sweep: it has no sweep\.json"):
        report_command([str(tmp_path)])
    with pytest.raises(UserError, match="does not exist"):
        report_command([str(tmp_path / "none")])
