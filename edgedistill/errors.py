"""Error types, by who can fix them."""

from __future__ import annotations

import errno
import re

_SHOWN_INPUTS = 8
MESSAGE_BYTES = 4000
"""Maximum size of a message in UTF-8 bytes: about one terminal screen."""
_PROBLEM_BYTES, _PROBLEMS_BYTES = 500, 3600


def shortened(text: str, most: int) -> str:
    """The text as valid UTF-8, shortened in the middle if it exceeds that many bytes."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= most:
        return encoded.decode()
    half = (most - 5) // 2
    return f"{encoded[:half].decode(errors='ignore')} ... {encoded[-half:].decode(errors='ignore')}"


class EdgedistillError(Exception):
    """Any failure with a message from edgedistill. The command line prints the message and exits with `exit_code`."""

    exit_code = 1


class UserError(EdgedistillError):
    """Invalid user input (recipe, data, model, flag): one sentence per problem, with what is allowed."""

    exit_code = 2


class RecipeError(UserError):
    """All problems of one recipe, reported together; if there are very many, the message has the first ones."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        shown: list[str] = []
        for problem in problems:
            line = shortened(problem, _PROBLEM_BYTES)
            if sum(len(text.encode()) + 1 for text in (*shown, line)) > _PROBLEMS_BYTES:
                break
            shown.append(line)
        more = len(problems) - len(shown)
        super().__init__("\n".join([*shown, f"... and {more} more problems"] if more else shown))


class RefusedError(EdgedistillError):
    """Not supported by a target or runtime; drops that candidate, with the reason in the report."""


class StepError(EdgedistillError):
    """A step failed: its name, what it was reading and the cause."""

    def __init__(self, step: str, inputs: list[str], cause: BaseException) -> None:
        self.step = step
        self.exit_code = cause.exit_code if isinstance(cause, EdgedistillError) else 1
        more = f" and {len(inputs) - _SHOWN_INPUTS} more" if len(inputs) > _SHOWN_INPUTS else ""
        reading = f" (reading {', '.join(inputs[:_SHOWN_INPUTS])}{more})" if inputs else ""
        reason = in_words(cause)
        super().__init__(f"step '{step}'{reading} failed: {reason}")


_FULL = re.compile(r"no space left on (device|the disk)|disk quota exceeded|os error (28|122)\b", re.IGNORECASE)
_USERS_PLACE = frozenset(
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "EEXIST", "ENAMETOOLONG", "ELOOP", "ENOTEMPTY")
)


class DiskFullError(EdgedistillError):
    """No space left on the disk; finished steps are kept."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; free some space and run the same command to resume")


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error was caused by a full disk or quota, whichever library raised it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, DiskFullError):
            return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if _FULL.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def in_words(error: BaseException) -> str:
    """An error in one line: our own message, or the type and message of another library's."""
    if isinstance(error, EdgedistillError):
        return str(error)
    if is_disk_full(error):
        return str(DiskFullError(f"no space left on the disk{_place(error)}"))
    if isinstance(error, MemoryError):
        return f"not enough memory{': ' if str(error) else ''}{error}"
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def of_system(error: OSError, place: object) -> EdgedistillError:
    """An operating system error as a message: a UserError if it concerns the path that the user named.

    Args:
        place: the path in use, if the error itself names none.
    """
    if is_disk_full(error):
        return DiskFullError(f"no space left on the disk of {place}")
    where = error.filename if isinstance(error.filename, str) else place
    sentence = f"{where}: cannot be read or written: {error.strerror or error}"
    return UserError(sentence) if error.errno in _USERS_PLACE else EdgedistillError(sentence)


def _place(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return f" of {name}" if isinstance(name, str) else ""


def shown(value: object) -> str:
    """A value for a message: its type and first characters."""
    text = repr(value[:60]) if isinstance(value, str) else repr(value)
    return f"{type(value).__name__} {text:.40}"
