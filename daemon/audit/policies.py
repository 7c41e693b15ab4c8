"""Policies against their names, which are made of them."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection

from daemon.audit.differences import Difference
from persistence.postgres.reader import fetch_policies

_NAME: Final = re.compile(r"[0-9a-f]{16}")


def compare_policies(connection: Connection) -> Iterator[Difference]:
    """A difference for each policy that is not what it was when it got its name."""
    for policy_id, document in fetch_policies(connection).items():
        text = json.dumps(document, sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        if _NAME.fullmatch(policy_id) and digest != policy_id:
            yield Difference("policy", None, None, None, f"policy {policy_id}", f"that of {digest}")
