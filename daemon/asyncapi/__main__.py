"""Print the AsyncAPI document: ``python -m daemon.asyncapi > docs/asyncapi.json``."""

import json
import sys

from daemon.asyncapi.document import document


def text() -> str:
    """The document as it is kept in the repository."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
