"""Large pictures, long runs, many runs, and memory: what they cost is bounded."""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image as Pillow
from support import SMALL, coordnet, make_config

from coordnet.cli.main import main
from coordnet.errors import UserError
from coordnet.reports.report import write_report
from coordnet.runs import metrics_file
from coordnet.runs.directory import read_status
from coordnet.sweeps.sweep import create_sweep, read_sweep
from coordnet.training import memory
from coordnet.training.run import start

MB = 10**6
SIDE = 10_000
PICTURE = 3 * SIDE**2
NETWORK = tuple(override for override in SMALL if not override.startswith("signal"))
STEPS = int(os.environ.get("COORDNET_SOAK_STEPS", "20000"))
LOG_EVERY = 20

# Before the code of a process that reports what memory it took.
PEAK = """
import json, sys
from pathlib import Path

def memory(name):
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines[name].split()[0]) * 1024

def config(*overrides):
    from support import make_config
    return make_config(*overrides)
"""


def measured(code: str, *arguments: str) -> dict[str, Any]:
    """The JSON that a Python process prints."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", PEAK + code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


# A picture of 100 megapixels


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.png"
    stripes = Pillow.linear_gradient("L").resize((SIDE, 100))
    column = Pillow.new("RGB", (SIDE, SIDE))
    for top in range(0, SIDE, 100):
        column.paste(Pillow.merge("RGB", [stripes] * 3), (0, top))
    column.save(path, compress_level=1)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.png"
    Pillow.merge("RGB", [Pillow.linear_gradient("L").resize((64, 64))] * 3).save(path)
    return path


def trained(picture: Path, directory: Path) -> dict[str, Any]:
    """The peak of memory, and the seconds of steps 11 to 20, of a run in a process of its own."""
    code = """
from coordnet.cli.main import main
assert main(["train", *sys.argv[1:]]) == 0
print(json.dumps({"peak": memory("VmHWM")}))
"""
    overrides = ("signal=image", f"signal.path={picture}", "signal.train_stride=2", *NETWORK, "max_steps=20")
    found = measured(code, f"hydra.run.dir={directory}", *overrides)
    seconds = {row["step"]: row["seconds"] for row in metrics_file.read(directory / metrics_file.NAME)}
    return found | {"seconds": seconds[20] - seconds[10]}


@pytest.fixture(scope="module")
def runs(large: Path, small: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("runs")
    return {path.stem: trained(path, folder / path.stem) for path in (large, small)}


@pytest.mark.slow
@pytest.mark.reliability("T33")
def test_reading_a_large_picture_takes_three_times_its_bytes_at_most(large: Path) -> None:
    code = """
from coordnet.signals.images.image_file import read_image
before = memory("VmRSS")
pixels = read_image(Path(sys.argv[1]))
print(json.dumps({"bytes": pixels.numel(), "grown": memory("VmHWM") - before}))
"""
    found = measured(code, str(large))
    assert found["bytes"] == PICTURE
    print(f"{found['grown'] / MB:.0f} MB")
    assert found["grown"] <= 3 * PICTURE


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.reliability("T33")
def test_training_on_a_large_picture_takes_three_times_its_bytes_at_most(
    runs: dict[str, dict[str, Any]],
) -> None:
    print(f"{runs['large']['peak'] / MB:.0f} MB against {runs['small']['peak'] / MB:.0f} MB")
    assert runs["large"]["peak"] - runs["small"]["peak"] <= 3 * PICTURE


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.reliability("T33")
def test_steps_on_a_large_picture_are_no_slower(runs: dict[str, dict[str, Any]]) -> None:
    """Twice the time, and 10 ms a step, are allowed for a machine that does other things meanwhile."""
    print(f"{runs['large']['seconds']:.3f} s against {runs['small']['seconds']:.3f} s for 10 steps")
    assert runs["large"]["seconds"] <= 2 * runs["small"]["seconds"] + 0.1


def within_four_gibibytes() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.reliability("T33")
def test_a_large_picture_is_trained_on_under_a_limit_of_four_gibibytes(large: Path, tmp_path: Path) -> None:
    overrides = (f"signal.path={large}", *NETWORK, "hydra.run.dir=run")
    done = coordnet("train", "signal=image", *overrides, cwd=tmp_path, preexec_fn=within_four_gibibytes)
    assert done.returncode == 0, done.stderr


# A long run


class Sample(NamedTuple):
    """A running process, seen from outside."""

    memory: int
    files: int


class Soak(NamedTuple):
    directory: Path
    samples: list[Sample]

    def quarter(self, number: int) -> list[Sample]:
        share = len(self.samples) // 4
        return self.samples[number * share : (number + 1) * share]


def look_at(process: int) -> Sample:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return Sample(int(status["VmRSS"].split()[0]) * 1024, len(os.listdir(f"/proc/{process}/fd")))


def reached(directory: Path) -> float:
    rows = metrics_file.read(directory / metrics_file.NAME)
    return rows[-1]["step"] if rows else -1


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Soak:
    """A long run of a small network, looked at from its first step until it comes to draw its last picture."""
    folder = tmp_path_factory.mktemp("soak")
    overrides = [f"max_steps={STEPS}", f"eval_every={STEPS // 8}", "trainer.pictures=end"]
    command = [sys.executable, "-m", "coordnet.cli.main", "train", *SMALL, *overrides]
    command += [f"trainer.log_every_n_steps={LOG_EVERY}", f"hydra.run.dir={folder / 'run'}"]
    samples = []
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while process.poll() is None:
                if 0 <= reached(folder / "run") < STEPS:
                    samples.append(look_at(process.pid))
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, (folder / "log").read_text()
    return Soak(folder / "run", samples)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.reliability("T35")
def test_a_long_run_takes_no_more_memory_with_time(soak: Soak) -> None:
    first, last = (max(sample.memory for sample in soak.quarter(number)) for number in (0, 3))
    print(f"{(last - first) / MB:.1f} MB more at {last / MB:.0f} MB")
    assert last - first < 10 * MB


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.reliability("T35")
def test_a_long_run_leaves_no_file_open(soak: Soak) -> None:
    """By the fewest of each quarter: a checkpoint is open while it is saved."""
    assert len({min(sample.files for sample in soak.quarter(number)) for number in range(4)}) == 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.reliability("T35")
def test_steps_of_a_long_run_stay_as_quick(soak: Soak) -> None:
    seconds = {row["step"]: row["seconds"] for row in metrics_file.read(soak.directory / metrics_file.NAME)}
    eighths = [seconds[STEPS // 8 * (i + 1)] - seconds[STEPS // 8 * i] for i in range(8)]
    print(", ".join(f"{part:.1f}" for part in eighths), "s")
    assert statistics.median(eighths[4:]) < 1.5 * statistics.median(eighths[:4])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.reliability("T35")
def test_the_event_file_grows_by_little(soak: Soak) -> None:
    """100 bytes for each loss, 10 kB for each row of metrics, and 2 MB for what is written once."""
    size = sum(file.stat().st_size for file in (soak.directory / "tb").iterdir())
    rows = len(metrics_file.read(soak.directory / metrics_file.NAME))
    print(f"{size:,} bytes, {rows} rows")
    assert size < 100 * STEPS / LOG_EVERY + 10_000 * rows + 2 * MB


# Many runs


@pytest.mark.slow
@pytest.mark.reliability("T36")
def test_a_sweep_of_500_runs_is_reported_in_seconds(tmp_path: Path) -> None:
    """10 are asked of a machine that does nothing else; 30 are allowed."""
    run = tmp_path / "run"
    start(make_config(*SMALL), run)
    jobs = [[f"label=row{i // 50}", f"seed={i % 50}"] for i in range(500)]
    config = make_config(*SMALL)
    configs = [{**config, "label": f"row{i // 50}", "seed": i % 50} for i in range(500)]
    create_sweep(tmp_path / "sweep", jobs, configs)
    for job in read_sweep(tmp_path / "sweep")["jobs"]:
        shutil.copytree(run, tmp_path / "sweep" / job["run"])
    begun = time.monotonic()
    assert write_report(tmp_path / "sweep") == ["finished"] * 500
    seconds = time.monotonic() - begun
    print(f"{seconds:.1f} s")
    assert seconds < 30


# Memory, known before


@pytest.mark.slow
@pytest.mark.reliability("T37")
def test_the_estimate_of_memory_is_within_twice_of_what_it_is(tmp_path: Path) -> None:
    code = """
from coordnet.training.memory import estimate, resident
from coordnet.training.prepare import prepare
from coordnet.training.trainer import train
settings, model = prepare(config(*sys.argv[2:]))
before = resident()
expected = estimate(model) - before
Path(sys.argv[1]).mkdir()
train(settings, model, Path(sys.argv[1]), None, {})
print(json.dumps({"expected": expected, "grown": memory("VmHWM") - before}))
"""
    overrides = ("trainer.batch_size=131072", "trainer.precision=float32", "max_steps=3", "eval_every=3")
    found = measured(code, str(tmp_path / "run"), *overrides)
    print(f"{found['expected'] / MB:.0f} MB expected, {found['grown'] / MB:.0f} MB taken")
    assert found["grown"] / 2 < found["expected"] < 2 * found["grown"]


def start_directly(directory: Path) -> int:
    with pytest.raises(UserError) as error:
        start(make_config(*SMALL, "max_memory=0.1"), directory)
    print(f"coordnet: {error.value}", file=sys.stderr)
    return error.value.exit_code


def start_by_command(directory: Path) -> int:
    try:
        return main(["train", *SMALL, "max_memory=0.1", f"hydra.run.dir={directory}"])
    except SystemExit as exit:
        return int(exit.code or 0)


@pytest.mark.reliability("T37")
@pytest.mark.parametrize("begin", [start_directly, start_by_command])
def test_what_takes_more_than_max_memory_is_refused_before_a_directory_is_made(
    begin: Callable[[Path], int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["coordnet"])
    assert begin(tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "more than max_memory=0.1" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.reliability("T37")
def test_a_limit_on_addresses_counts_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free = memory.available()
    addresses, held = memory.sizes()
    limit = addresses + 10**6
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert memory.available() == pytest.approx(held + 10**6, abs=10**7) and memory.available() < free


@pytest.mark.reliability("T37")
def test_what_takes_more_than_a_limit_of_four_gibibytes_is_one_line(tmp_path: Path) -> None:
    """It is refused by the estimate; where that is overruled, it ends when there is no more."""
    much = (*SMALL, "trainer.batch_size=4194304", "hydra.run.dir=run")
    for overrides, said in ((much, "more than the "), ((*much, "max_memory=99"), "there is no more memory")):
        done = coordnet("train", *overrides, cwd=tmp_path, preexec_fn=within_four_gibibytes)
        assert done.returncode == 2 and said in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        assert (tmp_path / "run").exists() == ("max_memory=99" in overrides)
    assert read_status(tmp_path / "run")["status"] == "failed"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "no more memory; choose"),
        (
            MemoryError("Unable to allocate 4.51 MiB for an array"),
            "no more memory for another 4.51 MiB; choose",
        ),
        (
            RuntimeError("can't allocate memory: you tried to allocate 4096 bytes."),
            "no more memory for another 4096 bytes; choose",
        ),
    ],
)
def test_memory_that_is_not_there_is_one_line(error: Exception, said: str) -> None:
    with pytest.raises(UserError, match=said), memory.reraise_out_of_memory():
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="another"), memory.reraise_out_of_memory():
        raise RuntimeError("another")
