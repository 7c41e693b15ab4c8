"""The command line in a METERD_HOME where no daemon runs."""

import os
import subprocess
from pathlib import Path

from loadtests.common.live import METERD


def run(home: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run it; nothing of this process's settings gets through."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
    return subprocess.run(
        [METERD, *args],
        env={**plain, "METERD_HOME": str(home), **env},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
