from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from edgedistill.cli import app, entry
from edgedistill.errors import EdgedistillError, StepError, UserError


def raising(error: BaseException):
    def app() -> None:
        raise error

    return app


@pytest.fixture
def failing(monkeypatch, capsys):
    """The exit code and what is said when a command raises."""
    monkeypatch.setattr(entry, "_quiet", lambda: None)

    def fail(error: BaseException) -> tuple[int, str]:
        monkeypatch.setattr(app, "app", raising(error))
        code = entry._command()
        return code, capsys.readouterr().err

    return fail


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("odd\nthing"), 1, "error: ValueError: odd thing (EDGEDISTILL_DEBUG=1 shows where)"),
        (RecursionError("too deep"), 1, "error: RecursionError: too deep (EDGEDISTILL_DEBUG=1 shows where)"),
        (MemoryError(), 1, "error: not enough memory (EDGEDISTILL_DEBUG=1 shows where)"),
        (KeyError("x"), 1, "error: KeyError: 'x' (EDGEDISTILL_DEBUG=1 shows where)"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: no space left on the disk of a file; free some"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), 2, "error: /a/b: cannot be read or written"),
        (
            OSError(errno.EROFS, "Read-only file system", "/a"),
            2,
            "error: /a: cannot be read or written: Read-only",
        ),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 9000), 2, "error: xxx"),
        (OSError(errno.EIO, "Input/output error", "/a"), 1, "error: /a: cannot be read or written: Input/output"),
        (UserError("seed: got 'x'"), 2, "error: seed: got 'x'\n"),
        (StepError("data", [], UserError("row 3")), 2, "error: step 'data' failed: row 3\n"),
        (EdgedistillError("x" * 100_000), 1, "error: xxx"),
        (UserError("\udcff"), 2, "error: ?\n"),
        (SystemExit(3), 3, ""),
        (SystemExit(None), 0, ""),
    ],
)
def test_whatever_goes_wrong_is_one_line_and_its_exit_code(failing, error, code, said, monkeypatch):
    monkeypatch.delenv("EDGEDISTILL_DEBUG", raising=False)
    found, words = failing(error)
    assert found == code
    assert words.startswith(said)
    assert words.count("\n") <= 1
    assert len(words.encode()) <= 4001


def test_debugging_shows_the_traceback(failing, monkeypatch):
    monkeypatch.setenv("EDGEDISTILL_DEBUG", "1")
    for error in (ValueError("odd"), UserError("plain")):
        _, words = failing(error)
        assert "Traceback (most recent call last)" in words
        assert words.splitlines()[-1].startswith("error: ")


def command(code: str, **options) -> subprocess.Popen[str]:
    """A process whose command does `code`, with Ctrl-C as on a terminal."""
    script = "import sys, time, os\nfrom edgedistill.cli import app as cli, entry\n"
    script += f"def app():\n{code}\ncli.app = app\nentry.main()"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, "-c", script], text=True, preexec_fn=_plain_signals, **pipes)


def _plain_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


WAITS = """
    try:
        print('ready', flush=True)
        time.sleep(60)
    finally:
        print('cleaned', flush=True)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_cleans_up_says_what_was_promised_and_gives_its_exit_code(name):
    number = getattr(signal, name)
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip(f"whoever started the tests has {name} ignored, as nohup does, and so do the processes they start")
    process = command(WAITS)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert out == "cleaned\n"
    assert err == "interrupted; run the same command to resume\n"
    assert process.returncode == 128 + number


def test_a_second_signal_while_cleaning_up_is_no_traceback():
    process = command(
        "    try:\n        print('ready', flush=True)\n        time.sleep(60)\n"
        "    finally:\n        print('cleaning', flush=True)\n        time.sleep(60)\n"
    )
    for line in ("ready\n", "cleaning\n"):
        assert process.stdout.readline() == line
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert err.startswith("interrupted; ")
    assert process.returncode == 130


def test_a_signal_that_a_destructor_swallowed_is_raised_at_the_next_look_and_no_traceback():
    process = command(
        "    from edgedistill.system import interruption\n    class Odd:\n        def __del__(self):\n"
        "            print('ready', flush=True)\n            time.sleep(60)\n"
        "    Odd()\n    interruption.check()\n    print('went on')"
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (out, process.returncode) == ("", 143)
    assert err == "interrupted; run the same command to resume\n"


def test_what_the_caller_had_ignored_stays_ignored():
    script = "from edgedistill.cli import app as cli, entry\nimport time\n"
    script += (
        "def app():\n    print('ready', flush=True)\n    time.sleep(1)\n    print('done')\ncli.app = app\nentry.main()"
    )
    ignored = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731 - as nohup and & do
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, preexec_fn=ignored)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "done\n"
    assert process.returncode == 0


def test_a_reader_that_has_seen_enough_is_no_error():
    process = command("    for _ in range(100_000):\n        sys.stdout.write('line\\n')\n")
    assert process.stdout.readline() == "line\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(30) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_an_output_without_room_is_a_sentence():
    with open("/dev/full", "w") as full:
        process = command("    print('much' * 10)", stdout=full)
        assert "no space left on the disk" in process.communicate(timeout=30)[1]
    assert process.returncode == 1


def test_libraries_remark_nothing_and_children_neither():
    code = "    import warnings, subprocess\n    warnings.warn('remark')\n"
    code += "    subprocess.run([sys.executable, '-c', 'import warnings; warnings.warn(\"remark\")'])"
    process = command(code)
    assert process.communicate(timeout=30) == ("", "")


def test_a_signal_while_libraries_are_imported_is_no_traceback(tmp_path):
    for delay in (0.3, 0.8, 1.5):
        process = subprocess.Popen(
            [sys.executable, "-m", "edgedistill.cli.entry", "plan", "quickstart", "--out", str(tmp_path / "run")],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=_plain_signals,
        )  # fmt: skip
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=60)[1]
        assert "Traceback" not in err
        assert process.returncode in (143, -signal.SIGTERM, 0)
