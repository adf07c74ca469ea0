import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faults
import pytest
from support import SMALL, coordnet, make_config

from coordnet.config.check import SWEEP_KEYS, check_sweep
from coordnet.errors import Interrupted, UserError
from coordnet.runs import metrics_file
from coordnet.runs.directory import lock_run_dir, read_status
from coordnet.sweeps import jobs
from coordnet.sweeps.jobs import run_jobs, status_of
from coordnet.sweeps.sweep import create_sweep, read_sweep
from coordnet.training.parent_watchdog import GRACE

ALLOW = ("faults.",)


def make_sweep(directory: Path, faults: Sequence[str], *overrides: str, log: Path | None = None) -> None:
    """A sweep with one job per fault."""
    configs: list[dict[str, Any]] = []
    for i, fault in enumerate(faults):
        config = make_config(*SMALL, *overrides, f"label={fault}-{i}", "trainer.log_every_n_steps=1")
        encoding = {"_target_": "faults.Faulty", "fault": fault, "log": str(log) if log else None}
        configs.append({**config, "encoding": encoding})
    create_sweep(directory, [[f"label={config['label']}"] for config in configs], configs)


def drive(directory: Path) -> subprocess.Popen[bytes]:
    """A driver of the sweep in a process of its own."""
    script = directory / "drive.py"
    script.write_text(
        "from coordnet.sweeps.jobs import run_jobs; from pathlib import Path; import sys\n"
        f"if __name__ == '__main__': run_jobs(Path(sys.argv[1]), 1, {ALLOW})"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(faults.__file__).parent)}
    return subprocess.Popen([sys.executable, script, directory / "sweep"], env=environment)


def statuses(directory: Path) -> list[str]:
    return [status_of(directory / job["run"]) for job in read_sweep(directory)["jobs"]]


def comparable(directory: Path) -> list[dict[str, str]]:
    """results.csv without what differs between two runs of the same thing."""
    rows = list(csv.DictReader((directory / "results.csv").read_text().splitlines()))
    return [{key: value for key, value in row.items() if "seconds" not in key} for row in rows]


@pytest.mark.reliability("T27")
def test_jobs_that_fail_leave_the_others_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jobs, "GRACE", 0.5)
    make_sweep(tmp_path / "sweep", ("none", "raise", "kill", "diverge", "hang", "none"))
    run_jobs(tmp_path / "sweep", 2, ALLOW, timeout=8)
    assert statuses(tmp_path / "sweep") == ["finished", "failed", "killed", "diverged", "timeout", "finished"]
    said = capfd.readouterr().out
    assert "[6/6]" in said and "2-kill-2: killed" in said
    assert "RuntimeError: on purpose" in (tmp_path / "sweep" / "1-raise-1" / "job.log").read_text()
    assert read_status(tmp_path / "sweep" / "1-raise-1")["reason"] == "on purpose"
    timed_out = read_status(tmp_path / "sweep" / "4-hang-4")
    assert "job_timeout=8" in timed_out["reason"] and timed_out["threads"] == 1


@pytest.mark.reliability("T27")
def test_a_job_that_cannot_be_built_has_failed_and_says_why(tmp_path: Path) -> None:
    make_sweep(tmp_path / "sweep", ("none",))
    run_jobs(tmp_path / "sweep", allow=())
    assert statuses(tmp_path / "sweep") == ["failed"]
    assert "faults.Faulty" in read_status(tmp_path / "sweep" / "0-none-0")["reason"]


def test_finished_and_diverged_jobs_are_left_as_they_are(tmp_path: Path) -> None:
    log = tmp_path / "log"
    make_sweep(tmp_path / "sweep", ("none", "diverge", "raise"), log=log)
    run_jobs(tmp_path / "sweep", 1, ALLOW)
    before = {file: file.read_bytes() for file in (tmp_path / "sweep").glob("[01]*/*.*")}
    run_jobs(tmp_path / "sweep", 1, ALLOW)
    assert before == {file: file.read_bytes() for file in (tmp_path / "sweep").glob("[01]*/*.*")}
    assert log.read_text().split() == ["none", "diverge", "raise", "raise"]


@pytest.mark.reliability("T29")
def test_two_drivers_on_one_sweep_run_each_job_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    names = [*("none",) * 5, "raise"]
    make_sweep(tmp_path / "sweep", names, log=log)
    drivers = [drive(tmp_path) for _ in range(2)]
    assert [driver.wait(timeout=120) for driver in drivers] == [0, 0]
    assert statuses(tmp_path / "sweep") == [*("finished",) * 5, "failed"]
    assert sorted(log.read_text().split()) == sorted(names)


def test_a_job_that_another_driver_holds_is_waited_for(tmp_path: Path) -> None:
    make_sweep(tmp_path / "sweep", ("none", "none"))
    held = lock_run_dir(tmp_path / "sweep" / "0-none-0")
    threading.Timer(6, held.close).start()
    started = time.monotonic()
    run_jobs(tmp_path / "sweep", 2, ALLOW)
    assert time.monotonic() - started > 5
    assert statuses(tmp_path / "sweep") == ["finished", "finished"]


@pytest.mark.reliability("T28")
def test_a_signal_lets_the_running_jobs_save_and_the_sweep_can_go_on(tmp_path: Path) -> None:
    make_sweep(tmp_path / "sweep", ("none", "none", "none"), "max_steps=1000000", "eval_every=1000000")
    threading.Thread(target=interrupt_when_training, args=(tmp_path / "sweep",), daemon=True).start()
    with pytest.raises(Interrupted, match="coordnet resume"):
        run_jobs(tmp_path / "sweep", 2, ALLOW)
    assert statuses(tmp_path / "sweep") == ["interrupted", "interrupted", "not started"]
    assert (tmp_path / "sweep" / "0-none-0" / "checkpoints" / "last.ckpt").exists()


def interrupt_when_training(sweep: Path) -> None:
    runs = [sweep / "0-none-0", sweep / "1-none-1"]
    while not all(len(metrics_file.read(run / metrics_file.NAME)) > 3 for run in runs):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


SWEEP = (
    *("train", "ablation=image_quick", *SMALL, "max_steps=300", "eval_every=50"),
    *("label=identity,gaussian,bicubic", "seed=0,1", "jobs=2"),
)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.reliability("T28")
def test_a_sweep_that_was_killed_goes_on_and_ends_with_the_table_of_a_straight_one(
    straight: Path, tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "coordnet.cli.main", *SWEEP, "hydra.sweep.dir=sweep"]
    driver = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    runs = [tmp_path / "sweep" / name for name in ("0-identity", "2-gaussian")]
    while not any(row["step"] >= 50 for run in runs for row in metrics_file.read(run / metrics_file.NAME)):
        time.sleep(0.02)
    driver.send_signal(number)
    assert driver.wait(timeout=60) == (143 if number == signal.SIGTERM else -9)
    wait_until(lambda: "running" not in statuses(tmp_path / "sweep"))
    assert set(statuses(tmp_path / "sweep")) - {"finished"}
    result = coordnet("resume", "sweep", "--jobs", "2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert comparable(tmp_path / "sweep") == comparable(straight)


def test_a_signal_to_the_whole_process_group_lets_jobs_save(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "coordnet.cli.main", *SWEEP, "max_steps=100000", "hydra.sweep.dir=sweep"]
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    driver = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **quiet)
    runs = [tmp_path / "sweep" / name for name in ("0-identity", "1-identity")]
    wait_until(lambda: all(len(metrics_file.read(run / metrics_file.NAME)) > 3 for run in runs))
    os.killpg(driver.pid, signal.SIGTERM)
    assert driver.wait(timeout=60) == 143
    assert [status_of(run) for run in runs] == ["interrupted", "interrupted"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that ran without a break."""
    directory = tmp_path_factory.mktemp("straight")
    result = coordnet(*SWEEP, "hydra.sweep.dir=sweep", cwd=directory)
    assert result.returncode == 0, result.stderr
    return directory / "sweep"


def wait_until(condition: Any, seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "basic"])
def test_other_launchers_of_hydra_run_the_same_jobs(launcher: str, straight: Path, tmp_path: Path) -> None:
    if launcher != "basic":
        pytest.importorskip(f"hydra_plugins.hydra_{launcher.removesuffix('_local')}_launcher")
    result = coordnet(
        *SWEEP, "seed=0", "threads=1", f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    metrics = [{k: v for k, v in row.items() if "/" in k} for row in comparable(tmp_path / "sweep")]
    seed_0 = [row for row in comparable(straight) if row["seed"] == "0"]
    assert metrics == [{k: v for k, v in row.items() if "/" in k} for row in seed_0]


def test_a_sweep_records_the_threads_of_each_job(straight: Path) -> None:
    jobs_listed = json.loads((straight / "sweep.json").read_text())["jobs"]
    assert {job["config"]["threads"] for job in jobs_listed} == {1}
    assert {read_status(straight / job["run"])["threads"] for job in jobs_listed} == {1}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is damaged"),
        ('{"format": 3, "jobs": []}', "is damaged"),
        ('{"format": 1, "jobs": [{"run": "0", "config": {}}]}', "format 1"),
        ('{"format": 3, "jobs": [{"run": "../x", "config": {}}]}', "is damaged"),
        ('{"format": 3, "jobs": [{"run": "0"}]}', "is damaged"),
    ],
)
def test_a_damaged_job_list_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(UserError, match=complaint):
        run_jobs(tmp_path)


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("jobs=0", "jobs=0 must be a whole number from 1 to 4096"),
        ("hydra.sweeper.reference=gausian", "reference=gausian is not a variant; did you mean gaussian?"),
    ],
)
def test_a_wrong_key_of_the_sweep_is_one_line_and_nothing_is_made(
    tmp_path: Path, override: str, complaint: str
) -> None:
    result = coordnet("train", "ablation=image_quick", override, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert complaint in result.stderr and len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ((2.5, None, "steps"), "jobs=2.5 must be"),
        ((True, None, "steps"), "jobs=True must be"),
        ((1, -1, "steps"), "job_timeout=-1 must be"),
        ((1, "1h", "steps"), "job_timeout='1h' must be"),
        ((1, None, "none"), "match='none' must be one of steps, parameters, seconds"),
    ],
)
def test_settings_out_of_range_are_named(settings: tuple[Any, Any, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        check_sweep(dict(zip(SWEEP_KEYS, settings, strict=True)))


def test_a_worker_ends_when_its_driver_is_gone(tmp_path: Path) -> None:
    make_sweep(tmp_path / "sweep", ("none",), "max_steps=1000000", "eval_every=1000000")
    driver = drive(tmp_path)
    run = tmp_path / "sweep" / "0-none-0"
    wait_until(lambda: len(metrics_file.read(run / metrics_file.NAME)) > 3)
    driver.kill()
    driver.wait()
    wait_until(lambda: status_of(run) == "interrupted", seconds=GRACE)
