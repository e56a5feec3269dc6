from __future__ import annotations

import sys

import numpy as np
import psutil
import pytest

from edgedistill.device import own_process
from edgedistill.engine import local

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no /proc")


def test_memory_is_in_millions_of_bytes():
    held = np.ones(25_000_000)
    assert held.nbytes == 2e8
    expected = psutil.Process().memory_info().rss / 1e6
    assert own_process.status_mb("VmRSS") == pytest.approx(expected, rel=0.02)
    assert own_process.status_mb("VmRSS", str(psutil.Process().pid)) == pytest.approx(expected, rel=0.02)
    assert local._peak_rss_mb() == pytest.approx(own_process.status_mb("VmHWM"), rel=0.01)


def test_a_process_that_is_gone_and_a_figure_that_none_has_are_none():
    assert own_process.status_mb("VmRSS", "0") is None
    assert own_process.status_mb("VmNothing") is None
