"""One run: from a config and an empty directory to metrics, pictures and checkpoints in it."""

import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from coordnet.config.check import Config, check_config
from coordnet.console import say
from coordnet.errors import Diverged, OptionError, UserError
from coordnet.runs import checkpoint, metrics_file
from coordnet.runs.config_file import CONFIG, read_config, write_config
from coordnet.runs.directory import ENDED, is_run, lock_run_dir, read_status, write_status
from coordnet.runs.load import load_state
from coordnet.runs.overrides import override
from coordnet.training.build_field import is_trained
from coordnet.training.ddp import launch_ddp
from coordnet.training.memory import check_memory, reraise_out_of_memory
from coordnet.training.module import FieldModule
from coordnet.training.prepare import build_run, prepare
from coordnet.training.provenance import provenance
from coordnet.training.runtime import ADAPTIVE_PSNR_DB
from coordnet.training.trainer import flatten, steps_of, train

# Keys that may have a new value when a run is resumed.
MAY_CHANGE = (
    "max_steps",
    "name",
    "label",
    "threads",
    "max_memory",
    "trainer.log_every_n_steps",
    "trainer.pictures",
)
# Keys that may have a new value if the data there are equal to the data of before.
MAY_MOVE = ("signal.path", "signal.folder")


def start(config: Config, directory: Path, allow: Sequence[str] = ()) -> dict[str, float]:
    """Check a config, and train as `start_checked` does."""
    check_config(config, allow)
    return start_checked(config, directory, allow)


def start_checked(config: Config, directory: Path, allow: Sequence[str] = ()) -> dict[str, float]:
    """Train into a directory that holds no run yet.

    Args:
        config: A config that `check_config` accepts.
        directory: The run's directory.
        allow: Packages that targets may lie in besides those of the shipped configs.

    Returns:
        The final metrics.

    Raises:
        UserError: An option is not allowed, or the directory holds a run.
    """
    config, model = build_run(config, allow)
    memory = check_memory(model, config["max_memory"])
    with lock_run_dir(directory):
        if (directory / CONFIG).exists():
            raise UserError(f"{directory} holds a run already; choose another directory, or resume it")
        return begin(config, model, memory, directory, allow)


def resume(directory: Path, allow: Sequence[str] = (), overrides: Sequence[str] = ()) -> dict[str, float]:
    """Continue a run from its last checkpoint.

    Args:
        directory: The run's directory.
        allow: Packages that targets may lie in besides those of the shipped configs.
        overrides: New values as "key=value": of `MAY_CHANGE`, and of `MAY_MOVE` where the data are equal.

    Returns:
        The final metrics.

    Raises:
        UserError: There is nothing to resume, or the config or the data differ from those of the checkpoint.
    """
    config = override(read_config(directory), overrides, MAY_CHANGE, MAY_MOVE)
    _check_places(config, directory)
    rows = metrics_file.read(directory / metrics_file.NAME)
    status = read_status(directory)["status"] if is_run(directory) else "created"
    if status == "finished" and rows and rows[-1]["step"] >= steps_of(config):
        raise UserError(
            f"{directory} is finished; there is nothing to resume (coordnet resume {directory} max_steps=... goes on)"
        )
    config, model = prepare(config, allow)
    memory = check_memory(model, config["max_memory"])
    with lock_run_dir(directory):
        return go_on(config, model, memory, directory, allow, bool(overrides))


def run_job(config: Config, directory: Path, allow: Sequence[str] = ()) -> None:
    """Do what is left of a job: all, what follows its last checkpoint, or nothing if it finished or diverged."""
    with lock_run_dir(directory):
        if is_run(directory) and read_status(directory)["status"] in ENDED:
            return
        try:
            config, model = prepare(config, allow)
            memory = check_memory(model, config["max_memory"])
        except Exception as error:
            write_status(directory, "failed", reason=str(error), traceback=traceback.format_exc())
            raise
        if (directory / CONFIG).exists():
            go_on(config, model, memory, directory, allow)
        else:
            begin(config, model, memory, directory, allow)


def begin(
    config: Config, model: FieldModule, memory: float, directory: Path, allow: Sequence[str]
) -> dict[str, float]:
    write_config(directory, config)
    return execute(config, model, memory, directory, None, allow)


def go_on(
    config: Config,
    model: FieldModule,
    memory: float,
    directory: Path,
    allow: Sequence[str],
    is_new_config: bool = False,
) -> dict[str, float]:
    folder = directory / "checkpoints"
    found = checkpoint.newest(folder)
    if found:
        content = checkpoint.load_checkpoint(found)
        _check_unchanged(content, config, model, directory)
        load_state(model, content["state_dict"], found)
        if "loops" not in content:
            # A run with max_steps=0 saved its field alone: training starts at step 0 with these weights.
            found = None
    elif any(row["step"] > 0 for row in metrics_file.read(directory / metrics_file.NAME)):
        raise UserError(f"{folder / checkpoint.LAST} does not exist, so there is nothing to resume from")
    if is_new_config:
        write_config(directory, config)
    return execute(config, model, memory, directory, found, allow)


def _check_places(config: Config, directory: Path) -> None:
    """Refuse data that are no longer where the config has them, with the command that gives their new place."""
    for key in MAY_MOVE:
        group, _, name = key.partition(".")
        place = config[group].get(name) if isinstance(config.get(group), Mapping) else None
        if isinstance(place, str) and not Path(place).exists():
            raise UserError(
                f"{key}={place} does not exist; give the new place of the data: "
                f"coordnet resume {directory} {key}=..."
            )


def _check_unchanged(saved: Mapping[str, Any], config: Config, model: FieldModule, directory: Path) -> None:
    """Refuse other settings or other data than those of a checkpoint, and print the changes that are allowed."""
    old, new = flatten(saved["config"]), flatten(config)
    changes = {key: f"{key} from {old.get(key)} to {new.get(key)}" for key in {**old, **new}}
    changes = {key: text for key, text in changes.items() if old.get(key) != new.get(key)}
    # Data without a fingerprint cannot be compared.
    allowed = MAY_CHANGE if saved["data"] is None else (*MAY_CHANGE, *MAY_MOVE)
    refused = [text for key, text in changes.items() if key not in allowed]
    if refused:
        raise UserError(
            f"{directory / CONFIG} was changed since the checkpoint: {', '.join(refused)}; change it back, or start "
            f"another run (only {', '.join(MAY_CHANGE)} may change, and the place of equal data)"
        )
    if saved["data"] != model.batches.signal.fingerprint():
        raise UserError(
            f"{directory}: the data of the signal differ from the training data; start another run"
        )
    if config["max_steps"] < saved["global_step"]:
        raise OptionError(
            "max_steps",
            config["max_steps"],
            f"must be at least {saved['global_step']}, the step of the checkpoint",
        )
    if changes:
        say(f"{directory}: {', '.join(changes.values())}")
    if "threads" in changes:
        print(f"{directory}: other threads may change the last bits of the numbers", file=sys.stderr)


@reraise_out_of_memory()
def execute(
    config: Config,
    model: FieldModule,
    memory: float,
    directory: Path,
    resumed_from: Path | None,
    allow: Sequence[str],
) -> dict[str, float]:
    facts = provenance(model, config["trainer"]["precision"]) | {"memory_estimate_gib": round(memory, 2)}
    precision = facts["precision"]
    if precision == "adaptive":
        precision = f"bfloat16 until {ADAPTIVE_PSNR_DB:g} dB"
    say(f"{directory}: {config['threads']} threads, {precision}, about {memory:.1f} GiB of memory")
    write_status(directory, "running", **facts)
    try:
        if config["trainer"]["devices"] > 1 and is_trained(config):
            is_constant = launch_ddp(config, directory, resumed_from, allow, facts)
        else:
            is_constant = train(config, model, directory, resumed_from, facts, allow=allow)
    except BaseException as error:
        trace = traceback.format_exc() if outcome(error) == "failed" else None
        # A full disk has no room for this either; what matters is the error itself.
        with suppress(OSError):
            write_status(directory, outcome(error), reason=str(error), traceback=trace, **facts)
        if isinstance(error, OSError) and error.filename is None and str(directory) not in str(error):
            raise OSError(f"{directory}: {error}") from error
        raise
    if is_constant:
        facts["warning"] = (
            "the prediction is the same everywhere; try a smaller learning rate or another seed"
        )
        print(f"{directory}: {facts['warning']}", file=sys.stderr)
    write_status(directory, "finished", **facts)
    return metrics_file.read(directory / metrics_file.NAME)[-1]


def outcome(error: BaseException) -> str:
    if isinstance(error, Diverged):
        return "diverged"
    return "failed" if isinstance(error, Exception) else "interrupted"
