class UserError(ValueError):
    """A mistake the user can mend: its message is one line with the key, the value and what is allowed."""

    exit_code = 2


class Diverged(RuntimeError):
    """Training left the finite numbers; the message names the step."""

    exit_code = 3


class Interrupted(KeyboardInterrupt):
    """A signal ended training before its last step.

    Attributes:
        exit_code: 128 plus the signal's number, as shells have it.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


STORAGE = 4
