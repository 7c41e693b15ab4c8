"""``python -m daemon.gateway.openapi``: the OpenAPI description, as docs/openapi.json has it."""

import json
import sys

from daemon.gateway.app import describe


def description() -> str:
    """The description as text that a diff is readable of."""
    return json.dumps(describe().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(description())
