"""What can go wrong, and whose turn it is to act."""

from __future__ import annotations

_SHOWN_INPUTS = 8


class EdgedistillError(Exception):
    """Any failure that edgedistill explains itself. The command line prints the message and exits with `exit_code`."""

    exit_code = 1


class UserError(EdgedistillError):
    """Something the user gave (recipe, data, model, flag) is wrong: one sentence a problem, and what is allowed."""

    exit_code = 2


class RecipeError(UserError):
    """All problems of one recipe, reported together."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class RefusedError(EdgedistillError):
    """Something that a target or runtime cannot do by its nature; it costs that candidate, and the reason is shown."""


class StepError(EdgedistillError):
    """A step failed: its name, what it was reading and the cause."""

    def __init__(self, step: str, inputs: list[str], cause: BaseException) -> None:
        self.step = step
        self.exit_code = cause.exit_code if isinstance(cause, EdgedistillError) else 1
        more = f" and {len(inputs) - _SHOWN_INPUTS} more" if len(inputs) > _SHOWN_INPUTS else ""
        reading = f" (reading {', '.join(inputs[:_SHOWN_INPUTS])}{more})" if inputs else ""
        reason = str(cause) if isinstance(cause, EdgedistillError) else f"{type(cause).__name__}: {cause}"
        super().__init__(f"step '{step}'{reading} failed: {reason}")
