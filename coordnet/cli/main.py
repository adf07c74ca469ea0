"""coordnet: one command. Subcommands are imported when they are called, so that help is quick."""

import importlib
import os
import sys

from coordnet.console import say

COMMANDS = {
    "train": "fit a field to a signal: Hydra overrides, -m sweeps, experiment=, ablation=",
    "resume": "resume a run or a sweep from its last checkpoints",
    "render": "render an image of any size or crop, or a view of a scene, from a trained run",
    "turntable": "render a video around the scene of a trained run",
    "mesh": "extract the surface of the scene of a trained run, with colors",
    "film": "write the pictures of a run's training as a GIF or MP4 file",
    "inspect": "measure an encoding on a signal before training, and propose one",
    "report": "print the table of a sweep or a run",
    "board": "open TensorBoard on a directory of runs",
    "make-scene": "write posed images of a synthetic scene",
    "doctor": "check this machine: versions, cores, memory, disk, configs",
}

USAGE = "\n".join(
    [
        "usage: coordnet COMMAND ...",
        "",
        *(f"  {name:10} {text}" for name, text in COMMANDS.items()),
        "",
        "  coordnet COMMAND --help    lists the options of a command",
        "",
        "  coordnet train signal=photo signal.name=coffee encoding=positional max_steps=300",
        "  coordnet train ablation=image_quick",
    ]
)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    # Two jobs side by side starve each other if OpenMP's threads spin; must be set before torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if any(argument.startswith("--allow") for argument in argv):
        # The package that the user trusts may lie in the current directory, as it may for `python -m`.
        sys.path.insert(0, os.getcwd())
    if not argv or argv[0] in ("-h", "--help"):
        say(USAGE)
        return 0
    if argv[0] == "--version":
        from coordnet import __version__

        say(f"coordnet {__version__}")
        return 0
    from coordnet.errors import STORAGE, Diverged, Interrupted, UserError

    try:
        if argv[0] not in COMMANDS:
            from coordnet.config.build import did_you_mean

            raise UserError(f"{argv[0]} is no command{did_you_mean(argv[0], COMMANDS)}")
        if not all(map(is_utf8, argv)):
            raise UserError(f"the arguments must be UTF-8: {argv}")
        importlib.import_module(f"coordnet.cli.{argv[0].replace('-', '_')}").main(argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()
    except (UserError, Diverged, Interrupted) as error:
        return fail(error, error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return fail(error, STORAGE)
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    return 0


def is_utf8(text: str) -> bool:
    """False where Python could not decode an argument: it then holds lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def fail(reason: object, code: int) -> int:
    print(f"coordnet: {reason}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
