"""The gateway that ``meterd up`` starts: told what to do in one line, ends with its daemon."""

import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import TextIO

from daemon.discovery.runfile import Addresses
from daemon.gateway.server import serve
from daemon.logging.logs import configure_logging
from daemon.settings.settings import load_settings


def main() -> None:
    """Do what the first line of standard input says, until that ends."""
    order = json.loads(sys.stdin.readline())
    settings = load_settings(Path(order["config"]) if order["config"] else None)
    configure_logging(settings.log.level, settings.log.format)
    threading.Thread(target=_die_with, args=(sys.stdin,), daemon=True).start()
    serve(settings, Addresses(**order["addresses"]), socket.socket(fileno=order["socket"]))


def _die_with(parent_pipe: TextIO) -> None:
    """Wait for the end of the daemon's pipe, which is the end of the daemon."""
    parent_pipe.read()
    os._exit(1)


if __name__ == "__main__":
    main()
