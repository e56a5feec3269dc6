from __future__ import annotations

import pytest

from edgedistill.errors import EdgedistillError
from edgedistill.isolation.emulation.cpus import CPUS, named_in
from edgedistill.isolation.emulation.guest import instructions, processor


def test_a_processor_is_known_again_by_its_own_description():
    for name, cpu in CPUS.items():
        assert named_in(cpu.cpuinfo()) == name
    assert named_in("CPU part\t: 0xfff\n") is None
    assert [name for name, cpu in CPUS.items() if cpu.dot_product] == ["cortex-a76"]


def test_another_machine_is_refused_and_counts_nothing():
    with pytest.raises(EdgedistillError, match="expected another"):
        processor("another")
    with pytest.raises(EdgedistillError, match="no instructions are counted"):
        instructions()
