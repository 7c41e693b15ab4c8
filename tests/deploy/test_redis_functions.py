"""The function library runs with the rights of who calls it: no way around a user's own."""

from typing import Any, Final

import msgspec
import pytest
import redis

from meterd.rules.redis_keys import GROUP, Keys
from persistence.redis.functions import function_name
from tests.deploy.roles import ADMIN, OPERATOR, Guarded

pytestmark = pytest.mark.redis

KEYS: Final = Keys()
HOLDER: Final = "holder"
NOBODY: Final = ""

_PACK: Final = msgspec.msgpack.encode
_LIMITS: Final = {
    "id_ttl_ms": 1, "reply_ttl_ms": 1, "reply_entries_max": 1, "event_entries_max": 1,
    "dead_entries_max": 1, "reply_streams_max": 1, "dead_bytes_max": 1,
}  # fmt: skip
_DELIVERY: Final[dict[str, list[Any]]] = {"ended": [], "refused": [], "delivered": []}


def _commit(user: str, entries: list[Any], events: list[Any]) -> bytes:
    chats = [["c", "{}", True]] if user else []
    return _PACK([user, "", "1-0|{}", 1, "{}", chats, entries, events, "{}", ""])


def _attempts(epoch: str) -> dict[str, tuple[Any, ...]]:
    """What functions write for a daemon, asked for by who has read its token and its epoch."""
    remembered = ["1-0", "i", "x", "r", ["id", "i"], [], 1_000]
    plain = ["1-0", "", "", "", [], []]
    head = (function_name("commit_all"), "supervisor", epoch, _PACK(_LIMITS))
    order = {"actor": "supervisor", "epoch": epoch, "ended_ttl_ms": 500_000, **_DELIVERY}
    return {
        "lead": (function_name("acquire_lease"), HOLDER, 1_000),
        "swear": (function_name("confirm_integrity"), HOLDER, epoch, "m"),
        "renew": (function_name("renew_lease"), HOLDER, epoch, 1_000),
        "resign": (function_name("resign"), HOLDER),
        "grant": (function_name("issue_epoch"), epoch, "a"),
        "read": (function_name("read"), epoch, ">", 1),
        "commit": (*head, _commit("u", [remembered], [])),
        "commit for nobody": (*head, _commit(NOBODY, [plain], [["event", "x"]])),
        "let a chat expire": (function_name("ack_outbox"), _PACK({**order, "ended": ["old"]})),
        "take out of the outbox": (
            function_name("ack_outbox"),
            _PACK({**order, "delivered": ["1-0"]}),
        ),
        "set aside": (function_name("ack_outbox"), _PACK({**order, "refused": [["1-0", "why"]]})),
        "settle": (function_name("settle"), "supervisor", epoch, "old", "1-0", 1),
        "open an account": (
            function_name("open_accounts"),
            _PACK(["o", "", "0-1|{}", "{}", ["[]"], []]),
        ),
        "trim": (function_name("trim"), epoch, "9-0"),
        "publish": (function_name("publish"), "{}", 1_000),
    }


def _daemon_at_work(admin: redis.Redis) -> str:
    """What a daemon leaves in Redis while it works; returns its epoch."""
    admin.flushall()
    for number in (1, 2):
        admin.xadd(KEYS.commands, {"type": "x"}, id=f"{number}-0")
    admin.xadd(KEYS.outbox, {"facts": "{}"}, id="1-0")
    admin.xgroup_create(KEYS.commands, GROUP, id="0")
    admin.xreadgroup(GROUP, GROUP, {KEYS.commands: ">"}, count=1)
    admin.set(KEYS.chat("old"), "{}")
    admin.set(KEYS.account("old"), "1-0|{}")
    _, epoch, _ = admin.fcall(function_name("acquire_lease"), 1, KEYS.commands, HOLDER, 3_500_000)
    admin.fcall(function_name("confirm_integrity"), 1, KEYS.commands, HOLDER, epoch, "m")
    return str(epoch.decode())


def _everything(admin: redis.Redis) -> dict[bytes, Any]:
    """All keys with their content, and how far from expiring they are."""
    names: Any = admin.keys("*")
    return {name: (admin.dump(name), admin.pttl(name) // 600_000) for name in names}


def _call(client: redis.Redis, function: str, *args: Any) -> str:
    """The answer, or why there is none."""
    try:
        return str(client.fcall(function, 1, KEYS.commands, *args))
    except redis.ResponseError as error:
        return str(error)


def _refused(why: str) -> bool:
    """Whether it was for want of a right, in the words of Redis or of Valkey."""
    return any(words in why.lower() for words in ("no permission", "can't run", "can't access"))


@pytest.mark.parametrize("name", _attempts(""))
@pytest.mark.parametrize("user", [OPERATOR, ADMIN])
def test_a_function_does_for_an_operator_what_the_operator_may_do_without_it(
    server: Guarded, user: str, name: str
) -> None:
    """The daemon's functions end at the first thing that an operator may not do, and nothing has
    changed. For somebody who may do everything each of them works, so it is the rights."""
    with server.client(ADMIN) as admin, server.client(user) as client:
        epoch = _daemon_at_work(admin)
        if name == "swear":
            admin.delete(KEYS.instance_id)
        before = _everything(admin)
        why = _call(client, *_attempts(epoch)[name])
        assert _refused(why) == (user == OPERATOR)
        assert (_everything(admin) == before) == (user == OPERATOR), why
