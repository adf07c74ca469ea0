from pathlib import Path

from coordnet.runs.load import LoadedRun


def default_path(run: LoadedRun, name: str) -> Path:
    """The default output file in a run's directory; checkpoints other than "last" add their name to the file's.

    Args:
        run: The run that the file is made from.
        name: The path within the directory, such as "images/render-48x32.png".
    """
    path = run.directory / name
    if run.checkpoint == "last":
        return path
    return path.with_name(f"{path.stem}-{run.checkpoint}{path.suffix}")
