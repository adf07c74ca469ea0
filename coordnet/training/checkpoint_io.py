from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from coordnet.runs.checkpoint import BEST, LAST, PREVIOUS, load_checkpoint, save


class VerifiedCheckpointIO(CheckpointIO):
    """Lightning's reader and writer of checkpoints, through `load_checkpoint` and `save` of coordnet.runs.checkpoint.

    Args:
        contents: Plain values and tensors that each checkpoint holds besides Lightning's own, such as the run's config.
    """

    def __init__(self, contents: Mapping[str, Any]) -> None:
        self.contents = contents

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        previous = Path(path).with_name(PREVIOUS) if Path(path).name == LAST else None
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        save({**self.contents, **checkpoint}, Path(path), previous)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load_checkpoint(Path(path), map_location)

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a file that a ModelCheckpoint no longer keeps.

        Raises:
            RuntimeError: The file is one of the run's own checkpoints.
        """
        if Path(path).name in (LAST, PREVIOUS, BEST):
            raise RuntimeError(f"removing the run's own checkpoints is not supported (asked for {path})")
        Path(path).unlink(missing_ok=True)
