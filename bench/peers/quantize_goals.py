"""The goals of `bench.quantize_peers`, on what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.peers.compared import Cell, Measured, Student, to_best_peer
from bench.record import Goal

FASTER = "int8 p50 <= 0.85x the best of (a)-(c) at every length, and at no lower accuracy"
BEST = "the best runtime we offer <= 0.75x the best of (a)-(c)"
SMALLER = "File <= 0.65x theirs by a mix, at <= 0.3 points below fp32"
FASTER_MOST, BEST_MOST, SMALLER_MOST, POINTS_MOST = 0.85, 0.75, 0.65, 0.003

Limits = Callable[[Student, Measured, Cell], str]
"""What limits a file there, in words."""


def speed_goals(student: Student, limits: Limits) -> list[Goal]:
    """Both goals on speed. One file counts: that whose slowest cell is the least slow.

    A file's accuracy is lower where the interval of the paired difference lies below zero.
    """
    files = [file for file in student.ours() if file.made.precision.startswith("int8")]
    own = [file for file in files if file.made.runtime == "onnxruntime"]
    found = []
    for words, most, among, accurate in ((FASTER, FASTER_MOST, own, True), (BEST, BEST_MOST, files, False)):
        if not among:
            found.append(Goal(words, f"{student.name}: no file of ours was measured", met=False))
            continue
        file = min(among, key=lambda file: worst(student, file)[1])
        cell, value = worst(student, file)
        met = value <= most
        shown = f"{student.name}: {file.made.system}: {by_cell(student, file)}"
        if accurate:
            peer = student.best_peer(cell)
            paired = student.ahead(file.decided, peer.decided)
            met = met and paired.interval.high >= 0
            shown += (
                f"; accuracy ahead of {peer.made.system} by {paired.gain:+.4f} "
                f"[{paired.interval.low:+.4f}, {paired.interval.high:+.4f}]"
            )
        if value > most:
            shown += f"; limited by {limits(student, file, cell)}"
        found.append(Goal(words, shown, met))
    return found


def worst(student: Student, file: Measured) -> tuple[Cell, float]:
    """Where a file is slowest beside the peers' fastest, and by what ratio."""
    ratios = {cell: to_best_peer(student, file, cell).value for cell in student.cells}
    cell = max(ratios, key=ratios.__getitem__)
    return cell, ratios[cell]


def by_cell(student: Student, file: Measured) -> str:
    """Every ratio with its interval, and what it is to."""
    return ", ".join(
        f"{to_best_peer(student, file, cell)} {student.best_peer(cell).made.system} at {cell[1]} tokens, "
        f"threads: {cell[0]}"
        for cell in student.cells
    )


def size_goal(student: Student, mixes: Sequence[Measured], skipped: Sequence[str]) -> Goal:
    """The goal on size: the smallest mix that is accurate enough against the peers' smallest int8 file, neither with
    its tokenizer; fp32 is the model in PyTorch."""
    if not mixes:
        reason = "; ".join(skipped) or "there is none in the table"
        return Goal(SMALLER, f"{student.name}: no mix was measured: {reason}", met=False)
    peers = [file for file in student.files if file.made.group in ("a", "b", "c") and not file.fp32]
    peer = min(peers, key=lambda file: file.file_bytes)
    drops = {mix.made.system: -student.ahead(mix.decided, student.torch).gain for mix in mixes}
    close = [mix for mix in mixes if drops[mix.made.system] <= POINTS_MOST]
    mix = min(close or mixes, key=lambda mix: mix.file_bytes)
    size, drop = mix.file_bytes / peer.file_bytes, drops[mix.made.system]
    shown = (
        f"{student.name}: {mix.made.system}: {mix.file_bytes / 1e6:.2f} MB, {size:.2f}x {peer.made.system}, "
        f"{100 * drop:+.2f} points below fp32"
    )
    return Goal(SMALLER, shown, met=size <= SMALLER_MOST and drop <= POINTS_MOST)
