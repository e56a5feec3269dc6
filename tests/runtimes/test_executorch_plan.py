from __future__ import annotations

import flatbuffers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.errors import EdgedistillError
from edgedistill.runtimes._executorch import plan
from edgedistill.runtimes.executorch import delegation

KERNEL, DELEGATE, MOVE = 1, 2, 3
OPERATORS = ("aten::add", "aten::linear", "executorch_prim::mul")
DELEGATES = ("XnnpackBackend", "Another")


def vector(builder, items):
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return builder.EndVector()


def table(builder, fields):
    """Of `number: (kind, value)`, as the schema numbers them."""
    builder.StartObject(max(fields, default=-1) + 1)
    for number, (kind, value) in fields.items():
        getattr(builder, f"Prepend{kind}Slot")(number, value, 0)
    return builder.EndObject()


def program(calls, name=plan.METHOD, identifier=b"ET12"):
    """A `.pte` file whose method makes these calls, each a kind and an index."""
    builder = flatbuffers.Builder(0)

    def names(texts):
        return vector(
            builder, [table(builder, {0: ("UOffsetTRelative", offset)}) for offset in map(builder.CreateString, texts)]
        )

    instructions = []
    for kind, index in calls:
        call = table(builder, {0: ("Int32", index)})
        instructions.append(table(builder, {0: ("Uint8", kind), 1: ("UOffsetTRelative", call)}))
    chain = table(builder, {2: ("UOffsetTRelative", vector(builder, instructions))})
    fields = {
        0: builder.CreateString(name),
        5: vector(builder, [chain]),
        6: names(OPERATORS),
        7: names(DELEGATES),
    }
    method = table(builder, {number: ("UOffsetTRelative", value) for number, value in fields.items()})
    other = table(builder, {0: ("UOffsetTRelative", builder.CreateString("another"))})
    plans = vector(builder, [other, method])
    builder.Finish(table(builder, {1: ("UOffsetTRelative", plans)}), file_identifier=identifier)
    return bytes(builder.Output())


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("plan") / "model.pte"


calls = st.lists(
    st.one_of(
        st.tuples(st.just(KERNEL), st.integers(0, len(OPERATORS) - 1)),
        st.tuples(st.just(DELEGATE), st.integers(0, len(DELEGATES) - 1)),
        st.tuples(st.just(MOVE), st.integers(0, 99)),
    )
)


@given(calls=calls)
def test_calls_are_read_in_their_order(file, calls):
    file.write_bytes(program(calls))
    found = plan.read(file)
    assert list(found.kernels) == [OPERATORS[index] for kind, index in calls if kind == KERNEL]
    assert list(found.parts) == [DELEGATES[index] for kind, index in calls if kind == DELEGATE]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no program at all", "model.pte is not an ExecuTorch program: expected the identifier ET12"),
        (b"", "model.pte is not an ExecuTorch program"),
        (program([], name="backward"), "model.pte has no method 'forward'"),
    ],
)
def test_another_file_is_refused(file, content, message):
    file.write_bytes(content)
    with pytest.raises(EdgedistillError, match=message):
        plan.read(file)


def test_a_file_whose_products_xnnpack_runs_is_told(file):
    file.write_bytes(program([(KERNEL, 0), (DELEGATE, 0), (DELEGATE, 0)]))
    assert delegation(file) == {"backend": "XnnpackBackend", "delegated_parts": 2, "operators_elsewhere": 1}


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([(KERNEL, 0)], "delegates nothing, expected"),
        ([(DELEGATE, 1)], "delegates to Another, expected"),
        ([(DELEGATE, 0), (DELEGATE, 1)], "delegates to Another, XnnpackBackend, expected"),
        ([(DELEGATE, 0), (KERNEL, 1)], "delegates to XnnpackBackend and leaves aten::linear to portable kernels"),
    ],
)
def test_any_other_is_refused(file, made, message):
    file.write_bytes(program(made))
    with pytest.raises(EdgedistillError, match=message):
        delegation(file)
