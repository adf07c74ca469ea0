import time


class TrainingClock:
    """Counts the seconds of training alone: the clock pauses while anything is evaluated or saved.

    Attributes:
        seconds: Seconds of training up to the last pause.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._resumed_at: float | None = None

    def resume(self) -> None:
        """Count from here on."""
        if self._resumed_at is None:
            self._resumed_at = time.perf_counter()

    def pause(self) -> None:
        """Stop counting until the next step begins."""
        if self._resumed_at is not None:
            self.seconds += time.perf_counter() - self._resumed_at
            self._resumed_at = None
