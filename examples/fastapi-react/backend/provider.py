"""An imitated payment provider: every payment succeeds, and each webhook comes twice.

Real providers promise at least one delivery, not exactly one.
"""

import hashlib
import hmac
import json
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from uuid import uuid4

SIGNATURE = "X-Signature"
_DELIVERIES = 2
_TIMEOUT_S = 15


class DeliveryError(Exception):
    """The webhook was not accepted."""


def sign(body: bytes, secret: str) -> str:
    """Return the signature of a webhook's body: HMAC-SHA256 in hexadecimal digits."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def pay(server: tuple[str, int], path: str, secret: str, user_id: str, amount: str) -> list[str]:
    """Take a payment and report it to the webhook.

    Args:
        server: host and port of the webhook.
        path: the path of the webhook.
        secret: what the report is signed with.
        user_id: who has paid.
        amount: the credits that were bought.

    Returns:
        What the webhook answered to each delivery.

    Raises:
        DeliveryError: a delivery failed. A real provider would try again for days.
    """
    body = json.dumps({"id": uuid4().hex, "user_id": user_id, "amount": amount}).encode()
    headers = {"Content-Type": "application/json", SIGNATURE: sign(body, secret)}
    return [_deliver(server, path, body, headers) for _ in range(_DELIVERIES)]


def _deliver(server: tuple[str, int], path: str, body: bytes, headers: dict[str, str]) -> str:
    connection = HTTPConnection(*server, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, HTTPException) as error:
        raise DeliveryError(f"the webhook does not answer: {error}") from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise DeliveryError(f"the webhook answered {answer.status}: {text}")
    return text
