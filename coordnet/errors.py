from reprlib import Repr

SHORT = Repr()
SHORT.maxstring = SHORT.maxother = 120
SHORT.maxlevel = 3
SHORT.maxlist = SHORT.maxtuple = SHORT.maxdict = 12

LONGEST = 1000


class UserError(ValueError):
    """A mistake the user can mend: its message is one line with the key, the value and what is allowed."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        line = " ".join(message.splitlines())
        super().__init__(line if len(line) <= LONGEST else line[:LONGEST] + "...")


def shown(value: object) -> str:
    """A value in a message, cut short where it is long."""
    try:
        return SHORT.repr(value)
    except ValueError:  # Python prints no number of thousands of digits.
        return f"a {type(value).__name__}"


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
