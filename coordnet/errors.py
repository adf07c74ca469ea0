class UserError(ValueError):
    """A mistake the user can mend: its message is one line with the key, the value and what is allowed."""


class Diverged(RuntimeError):
    """Training left the finite numbers; the message names the step."""
