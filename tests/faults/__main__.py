"""`python -m tests.faults [--only KIND] [--seed N] [--count N] [--jobs N] [--keep DIR] [--write FILE]`

Exit code 0 when no case failed. A case that failed keeps its folder and prints how to run it alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from .program import arguments

if __name__ == "__main__":
    chosen = arguments(sys.argv[1:])
    from .world import clean_environment

    clean_environment(Path(chosen.keep) / "home")
    from .program import main  # after the environment: libraries read theirs when they are imported

    sys.exit(main(chosen))
