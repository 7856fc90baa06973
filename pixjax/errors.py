"""The two errors that reach a user, each one sentence that says what to do."""


class InputError(ValueError):
    """What the user gave is wrong: the message names the value, the limit and the remedy (exit code 2)."""


class RunError(RuntimeError):
    """The input was right and the work failed all the same (exit code 1)."""


def require(condition: bool, message: str) -> None:
    """Raises `InputError` with the message unless the condition holds."""
    if not condition:
        raise InputError(message)
