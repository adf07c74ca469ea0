"""Preparation of a run: the process is set up, and all objects of the run are built."""

from collections.abc import Sequence

from coordnet.config.check import Config, check_config
from coordnet.training.assemble import assemble
from coordnet.training.memory import reraise_out_of_memory
from coordnet.training.module import FieldModule
from coordnet.training.runtime import keep_memory, set_threads, trim_memory


def prepare(config: Config, allow: Sequence[str] = ()) -> tuple[Config, FieldModule]:
    """Check a config, and build the objects of its run as `build_run` does."""
    check_config(config, allow)
    return build_run(config, allow)


@reraise_out_of_memory()
def build_run(config: Config, allow: Sequence[str] = ()) -> tuple[Config, FieldModule]:
    """Set the process up and build the objects of a run.

    Args:
        config: A config that `check_config` accepts.
        allow: Packages that targets may be in besides the targets of the shipped configs.

    Returns:
        The config with every automatic choice resolved, so that a resumed run makes the same choices; and the module.

    Raises:
        UserError: Some value is not allowed; the message names its key.
    """
    keep_memory()
    config = {**config, "threads": set_threads(config["threads"]), "trainer": dict(config["trainer"])}
    model = assemble(config, allow)
    trim_memory()
    first = getattr(model.field, "precision", "float32")
    adapts = first == "bfloat16" and config["trainer"]["precision"] != "bfloat16"
    config["trainer"]["precision"] = "adaptive" if adapts else first
    return config, model
