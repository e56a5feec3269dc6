from __future__ import annotations

import pytest

from edgedistill.errors import UserError
from edgedistill.isolation.emulation.debian import archive


def test_debians_main_archive_or_its_mirror_is_taken_from_what_apt_is_set_up_with():
    configured = ["https://here/debian-security/", "https://mirror/of/debian/", "https://here/debian"]
    assert archive(configured) == "https://mirror/of/debian/"


@pytest.mark.parametrize(("configured", "shown"), [([], "nothing"), (["https://here/ubuntu/"], "https://here/ubuntu/")])
def test_without_one_that_is_said(configured, shown):
    with pytest.raises(UserError, match=f"apt is configured with {shown}, expected a Debian archive"):
        archive(configured)
