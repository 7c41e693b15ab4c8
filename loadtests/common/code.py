"""Whatever is started runs the code that the benchmark itself is of, installed or not."""

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


def own_code() -> dict[str, str]:
    """The environment, with this code first."""
    others = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), others]))}
