"""How large is an ONNX Runtime with only one file's operators? Builds for the estimate of `ort-mobile`.

    python -m bench.reduced_build --source DIR --build DIR --configurations FILE... [--shell "chroot DIR"]

DIR is a source tree of ONNX Runtime, and a CMake build folder of it that is configured for the device's processor as a
reduced, minimal build: `MinSizeRel`, `onnxruntime_MINIMAL_BUILD`, `_REDUCED_OPS_BUILD`, `_BUILD_SHARED_LIB` and
`_DISABLE_{ML_OPS,RTTI,EXCEPTIONS,SPARSE_TENSORS,OPTIONAL_TYPE,FLOAT8_TYPES}` on, with `-ffunction-sections
-fdata-sections` and the linker's map (`-Wl,-Map=BUILD/libonnxruntime.map`). Types aren't reduced.

It is built without any operator, with each operator of the configurations alone, and with each configuration's whole
set. The linker keeps what is reachable, and what is reachable from several operators is the union of what is reachable
from each: so the sections that each operator keeps determine the size of a library with any set of operators. They are
written to `exporters/reduced_build.json` for the exporter's estimate; the builds of whole sets show its error.

The files are those that the exporter writes beside an `.ort` file (`NAME.required_operators_and_types.config`).
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.record import Goal, record
from edgedistill_exporters.ort_mobile import required_operators
from edgedistill_exporters.reduced_build import FILE, Part, Sizes

Sections = Mapping[tuple[str, str], int]
"""Bytes of what the linker kept, by section and object file."""
COPY = """cd "$1" && find . -type f | while read -r each; do
  cmp -s "$each" "$2/$each" || { mkdir -p "$(dirname "$2/$each")" && cp "$each" "$2/$each"; }
done"""
"""Only what is different: a new time of what every kernel includes would rebuild them all."""


@dataclass(frozen=True)
class Builder:
    """A configured build folder, seen from the shell that has its compiler."""

    shell: list[str]
    source: str
    folder: str
    size: str

    def build(self, configuration: str) -> tuple[int, Sections]:
        """The bytes of the library that has a configuration's operators, without symbols for a debugger and without
        what pads its segments to whole pages; and its sections."""
        scratch = f"{self.folder}/reducing"
        self._call(["mkdir", "-p", scratch])
        self._call(["tee", f"{scratch}/operators.config"], configuration)
        reduce = ["python3", f"{self.source}/tools/ci_build/reduce_op_kernels.py", f"{scratch}/operators.config"]
        self._call([*reduce, "--cmake_build_dir", scratch])
        generated = "op_reduction.generated"
        self._call(["sh", "-c", COPY, "sh", f"{scratch}/{generated}", f"{self.folder}/{generated}"])
        self._call(["cmake", "--build", self.folder, "--target", "onnxruntime"])
        text, data = self._call([self.size, f"{self.folder}/libonnxruntime.so"]).splitlines()[1].split()[:2]
        return int(text) + int(data), kept(self._call(["cat", f"{self.folder}/libonnxruntime.map"]))

    def version(self) -> str:
        """Of the source tree."""
        return self._call(["cat", f"{self.source}/VERSION_NUMBER"]).strip()

    def _call(self, command: list[str], content: str = "") -> str:
        done = subprocess.run([*self.shell, *command], input=content, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)}: {(done.stderr or done.stdout)[-2000:]}")
        return done.stdout


def kept(linker_map: str) -> dict[tuple[str, str], int]:
    """The sections in the file, of the linker's map. A name that C++ makes unique stands without its object: which
    object such a section is taken of depends on the others."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    output = name = ""
    for line in linker_map.partition("Linker script and memory map")[2].splitlines():
        if match := re.match(r"(\.\S+)", line):
            output = match.group()
        elif match := re.match(r" (\.\S+)$", line):
            name = match.group(1)
        elif match := re.match(r"(?: (\.\S+))?\s+0x[0-9a-f]+\s+0x([0-9a-f]+) (\S.*)", line):
            name = match.group(1) or name
            unique = "._Z" in name and "_GLOBAL__N_" not in name
            if output not in (".bss", ".tbss"):
                found[name, "" if unique else match.group(3)] += int(match.group(2), 16)
    return found


def parts(empty: Sections, alone: Mapping[str, Sections]) -> tuple[Part, ...]:
    """What is beyond the library without operators, by the operators that any one of keeps it. Of a section that is
    larger with some than with others (a table), the part that is beyond counts as theirs."""
    found: dict[frozenset[str], int] = defaultdict(int)
    for section in {section for sections in alone.values() for section in sections}:
        before = empty.get(section, 0)
        for level in sorted({sections.get(section, 0) for sections in alone.values()}):
            if level > before:
                keeping = frozenset(name for name, sections in alone.items() if sections.get(section, 0) >= level)
                found[keeping] += level - before
                before = level
    return tuple(Part(tuple(sorted(names)), size) for names, size in sorted(found.items(), key=lambda pair: -pair[1]))


def lines(configuration: str) -> dict[str, str]:
    """For each operator of a configuration, `domain:name`, the configuration that has it alone."""
    found: dict[str, str] = {}
    for line in configuration.splitlines():
        for domain, names in required_operators(line).items():
            opset = line.split(";")[1]
            found |= {f"{domain}:{name}": f"{domain};{opset};{name}\n" for name in names}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--machine", default="aarch64")
    parser.add_argument("--compiler", default="g++ 14", help="what the build folder is configured with, in words")
    parser.add_argument("--configurations", type=Path, nargs="+", required=True)
    parser.add_argument("--shell", type=shlex.split, default=[], help="what runs the compiler: chroot DIR")
    parser.add_argument("--size", default="size", help="of binutils, for the machine")
    given = parser.parse_args()
    builder = Builder(given.shell, given.source, given.build, given.size)
    whole = [configuration.read_text(encoding="utf-8") for configuration in given.configurations]
    single = {name: line for text in whole for name, line in lines(text).items()}
    empty, empty_sections = builder.build("")
    alone = {}
    for number, (name, line) in enumerate(sorted(single.items()), start=1):
        size, alone[name] = builder.build(line)
        print(f"[{number}/{len(single)}] {name} {size - empty}", flush=True)
    sizes = Sizes(
        onnxruntime=builder.version(),
        machine=given.machine,
        compiler=given.compiler,
        empty=empty,
        operators=tuple(sorted(alone)),
        parts=parts(empty_sections, alone),
    )
    rows = []
    for file, text in zip(given.configurations, whole, strict=True):
        operators = required_operators(text)
        built, estimated = builder.build(text)[0], sizes.runtime(operators).bytes
        rows.append(
            {
                "file": file.name.split(".")[0],
                "operators": sum(map(len, operators.values())),
                "built MB": built / 1e6,
                "estimated MB": estimated / 1e6,
                "off": estimated / built - 1,
            }
        )
        print(rows[-1], flush=True)
    furthest = max((float(str(row["off"])) for row in rows), key=abs)
    FILE.write_text(json.dumps(sizes.as_json()) + "\n", encoding="utf-8")
    record(
        "reduced_build", rows, [Goal("estimates are within 10% of builds", f"{furthest:+.1%}", abs(furthest) <= 0.1)]
    )


if __name__ == "__main__":
    main()
