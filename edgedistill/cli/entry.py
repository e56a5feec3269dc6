"""Start and end of the command: signals, exit codes, and one message for any error."""

from __future__ import annotations

import os
import sys
import traceback

from edgedistill.errors import MESSAGE_BYTES, EdgedistillError, in_words, of_system, shortened
from edgedistill.system import interruption, logs
from edgedistill.system.interruption import Interrupted

_QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "PYTHONWARNINGS": "ignore",
}
"""Silence libraries' messages on stderr, in this process and its children."""


def main() -> None:
    """Run the command line and exit: 0 done, 1 failure, 2 invalid input, 3 no candidate meets the limits, 128 plus the
    signal that ended it. `EDGEDISTILL_DEBUG=1` shows tracebacks and libraries' warnings."""
    interruption.listen()
    logs.show()
    try:
        code = _command()
    except (Interrupted, KeyboardInterrupt) as stopped:
        interruption.ignore()
        _show_trace()
        _say("interrupted; run the same command to resume")
        code = 128 + (stopped.number if isinstance(stopped, Interrupted) else 2)
    sys.exit(code)


def _command() -> int:
    """Run it and return the exit code."""
    code = 0
    try:
        if not _debugging():
            _quiet()
        from edgedistill.cli.app import app

        try:
            app()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        if sys.stdout is not None:
            sys.stdout.flush()
    except EdgedistillError as error:
        return _explain(str(error), error.exit_code)
    except BrokenPipeError:  # the reader closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        found = of_system(error, "a file")
        return _explain(str(found), found.exit_code)
    except Exception as error:  # noqa: BLE001 - never a traceback
        return _explain(f"{in_words(error)} (EDGEDISTILL_DEBUG=1 shows where)", 1)
    return code


def _explain(sentence: str, code: int) -> int:
    _show_trace()
    _say(f"error: {sentence}")
    return code


def _say(line: str) -> None:
    if sys.stderr is not None:
        print(shortened(line, MESSAGE_BYTES), file=sys.stderr, flush=True)  # noqa: T201 - the command line's own


def _show_trace() -> None:
    if _debugging():
        traceback.print_exc()


def _debugging() -> bool:
    return os.environ.get("EDGEDISTILL_DEBUG", "") not in ("", "0")


def _quiet() -> None:
    import warnings

    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
