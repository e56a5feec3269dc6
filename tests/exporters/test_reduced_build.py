from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.reduced_build import kept, lines, parts
from edgedistill_exporters.reduced_build import Part, Sizes, sizes

MAP = """Discarded input sections
 .text._ZN3oneEv
                0x0000000000000000      0x999 lib.a(one.o)
Linker script and memory map
.text           0x0000000000001000      0x100
 *(.text)
 .text._ZN3oneEv
                0x0000000000001000       0x20 lib.a(one.o)
                0x0000000000001000                one()
 .text._ZN12_GLOBAL__N_13twoEv
                0x0000000000001020       0x10 lib.a(one.o)
 .text          0x0000000000001030        0x8 lib.a(two.o)
 *fill*         0x0000000000001038        0x8 00
.bss            0x0000000000002000      0x500
 .bss           0x0000000000002000      0x500 lib.a(two.o)
"""


def test_the_linkers_map_tells_what_is_kept_and_takes_place_in_the_file():
    assert kept(MAP) == {
        (".text._ZN3oneEv", ""): 0x20,
        (".text._ZN12_GLOBAL__N_13twoEv", "lib.a(one.o)"): 0x10,
        (".text", "lib.a(two.o)"): 0x8,
    }


def test_each_operator_of_a_configuration_stands_alone_with_its_opset():
    text = 'ai.onnx;13;Gather{"inputs": {"0": ["float"]}},MatMul\ncom.microsoft;1;FusedGemm\n'
    assert lines(text) == {
        "ai.onnx:Gather": "ai.onnx;13;Gather\n",
        "ai.onnx:MatMul": "ai.onnx;13;MatMul\n",
        "com.microsoft:FusedGemm": "com.microsoft;1;FusedGemm\n",
    }


SECTION = st.sampled_from([("a", ""), ("b", ""), ("c", "x.o"), ("d", "x.o")])
SECTIONS = st.dictionaries(SECTION, st.integers(1, 9))


@given(
    empty=SECTIONS, alone=st.dictionaries(st.sampled_from(["d:A", "d:B", "d:C"]), SECTIONS, min_size=1), data=st.data()
)
def test_a_library_with_several_operators_has_what_any_of_them_keeps(empty, alone, data):
    """Reachable from several is what is reachable from any: section by section the largest."""
    table = Sizes("1", "m", "c", sum(empty.values()), tuple(sorted(alone)), parts(empty, alone))
    chosen = data.draw(st.sets(st.sampled_from(sorted(alone))))
    linked = [empty, *(alone[name] for name in chosen)]
    expected = sum(max(library.get(section, 0) for library in linked) for section in set().union(*linked))
    found = table.runtime({"d": [name.partition(":")[2] for name in chosen]})
    assert (found.bytes, found.operators, found.unknown) == (expected, len(chosen), ())
    assert Sizes.of_json(json.loads(json.dumps(table.as_json()))) == table


def test_an_operator_without_a_build_is_named_and_not_guessed():
    table = Sizes("1.2", "arm", "gcc", 100, ("d:A",), (Part(("d:A",), 7),))
    found = table.runtime({"d": ["A", "New"], "e": ["A"]})
    assert (found.bytes, found.operators, found.unknown) == (107, 3, ("d:New", "e:A"))
    assert found.basis == "builds of ONNX Runtime 1.2 for arm by gcc"


def test_the_table_knows_operators_of_encoders_in_every_precision():
    table = sizes()
    plain = {"ai.onnx": ["Gather", "MatMul", "Softmax", "LayerNormalization"], "com.microsoft": ["FusedMatMul"]}
    int8 = {**plain, "com.microsoft": ["FusedMatMul", "DynamicQuantizeMatMul"]}
    small, large = table.runtime(plain), table.runtime(int8)
    assert small.unknown == large.unknown == ()
    assert table.empty < small.bytes < large.bytes < 5e6
    assert table.machine == "aarch64"


@pytest.mark.parametrize("name", ["ai.onnx:Add", "ai.onnx:Mul"])
def test_operators_that_share_code_count_it_once(name):
    table = sizes()
    alone = table.runtime({"ai.onnx": [name.partition(":")[2]]}).bytes - table.empty
    both = table.runtime({"ai.onnx": ["Add", "Mul"]}).bytes - table.empty
    assert alone < both < 1.5 * alone
