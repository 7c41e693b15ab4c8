"""The token of meterd's own Ray cluster.

Ray listens on more than loopback, whatever its settings, and refuses callers without a token. By
default it keeps one token for all clusters of a user, readable by others (0644).
"""

import os
import secrets
from pathlib import Path

from daemon.embedded.home import make_home, write_private


def set_ray_token(home: Path) -> None:
    """Name the token, 0600 in METERD_HOME, made once. Ray looks for it while it is imported."""
    make_home(home)
    path = home / "ray_token"
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(path))
