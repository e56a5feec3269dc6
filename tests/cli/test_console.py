"""Tables on standard output."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from edgedistill.cli.console import new_table


def test_long_headers_of_numbers_leave_the_room_to_text():
    columns = ("candidate", "time to first token, ms", "bits per byte (lower is better)", "gain over control")
    table = new_table("t", *columns, right=(1, 2, 3))
    table.add_row("r1/onnx/int8-dynamic/onnxruntime", "1.50", "1.2345", "+0.1")
    file = StringIO()
    Console(width=90, file=file).print(table)
    lines = [" ".join(line.split()) for line in file.getvalue().splitlines()]
    assert "r1/onnx/int8-dynamic/onnxruntime 1.50 1.2345 +0.1" in lines
    assert "time to first bits per byte" in lines
    assert "candidate token, ms (lower is better) gain over control" in lines
