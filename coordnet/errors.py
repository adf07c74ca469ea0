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


class OptionError(UserError):
    """A value that an option does not allow.

    Attributes:
        option: The name of the option, with the names of the nodes around it once they are known.
        value: The value that was given.
        allowed: The rest of the sentence, such as "must be a number from 0 to 1".
    """

    def __init__(self, option: str, value: object, allowed: str) -> None:
        self.option, self.value, self.allowed = option, value, allowed
        super().__init__(f"{option}={shown(value)} {allowed}")

    def within(self, key: str) -> "OptionError":
        """The same error with the name of the node that holds the option."""
        return OptionError(f"{key}.{self.option}", self.value, self.allowed)


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
