"""Whatever is forged, altered or taken away in Redis, the audit names it; and nothing else.

Each case breaks one thing of what the load left. Together they go over all kinds of keys that the
function library writes.
"""

from typing import Any

import pytest

from daemon.audit.differences import Difference, Findings
from daemon.audit.run import Audit, Scope
from persistence.redis.snapshot_scan import SnapshotScan
from tests.audit.conftest import System
from tests.audit.forged_documents import DOCUMENTS
from tests.audit.forged_ids import IDS
from tests.audit.forged_streams import STREAMS, add_event, delete_event
from tests.audit.forging import KEY, LATER, POSITION, Forgery
from tests.audit_check import audited
from tests.engine.harness import KEYS

OTHERS = {
    "delivered-ahead": Forgery(lambda s: s.client.set(KEYS.outbox_delivered, LATER), POSITION),
    "memory-renamed": Forgery(lambda s: s.client.set(KEYS.instance_id, "x"), POSITION),
    "memory-gone": Forgery(lambda s: s.client.delete(KEYS.instance_id), POSITION),
    "epoch-put-back": Forgery(lambda s: s.client.set(KEYS.epoch, "0"), POSITION),
    "epoch-gone": Forgery(lambda s: s.client.delete(KEYS.epoch), POSITION),
    "epoch-of-the-future-held": Forgery(
        lambda s: s.client.hset(KEYS.epochs, "chat-1", "999"), POSITION
    ),
    "key-unheard-of": Forgery(lambda s: s.client.set(f"{KEYS.prefix}due:calm", "1"), KEY),
}
FORGERIES = {**DOCUMENTS, **IDS, **STREAMS, **OTHERS}
SOME = [
    "account-settled_micro", "account-unknown", "wallet-balance", "wallet-unknown", "chat-cost",
    "chat-unknown", "chat-expires", "id-gone", "id-outcome", "id-unknown", "event-gone",
    "event-reason", "event-of-nobody", "command-swallowed", "reply-to-nothing",
    "letter-of-nothing", "outbox-row", "delivered-ahead", "key-unheard-of",
]  # fmt: skip
"""One of each kind."""


def assert_named(damaged: System, forgery: Forgery) -> None:
    """Kind, user and chat of each difference are told, and no others."""
    forgery.breaks(damaged)
    _, found = audited(damaged.engine, damaged.redis_url, lambda _seconds: None)
    told = [(one.kind, one.user, one.chat) for one in found]
    if forgery.is_alone:
        assert sorted(told, key=repr) == sorted(forgery.told, key=repr)
    assert set(forgery.told) <= set(told)
    for difference in found:
        assert difference.expected != difference.found


@pytest.mark.parametrize("name", SOME)
def test_what_is_forged_is_named(damaged: System, name: str) -> None:
    """Whatever kind of key it is in."""
    assert_named(damaged, FORGERIES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FORGERIES if name not in SOME])
def test_whatever_is_forged_is_named(damaged: System, name: str) -> None:
    """Each field of each document, each part of each key."""
    assert_named(damaged, FORGERIES[name])


@pytest.mark.parametrize("left", [40, 1])
def test_what_was_trimmed_is_not_missed(damaged: System, left: int) -> None:
    """However few events are left: the stream reaches back to the first of them."""
    damaged.client.xtrim(KEYS.events, maxlen=left, approximate=False)
    assert audited(damaged.engine, damaged.redis_url)[1] == []


def test_one_user_alone_is_compared_with_the_events_too(damaged: System) -> None:
    """With ``--user``, only that user's."""
    delete_event(1)(damaged)
    add_event(user_id="other")(damaged)
    found: list[Difference] = []
    scan = SnapshotScan(damaged.client, KEYS)
    Audit(damaged.engine, scan, Findings(found.append)).run(Scope(user="calm"))
    assert [(one.kind, one.chat) for one in found] == [("missing_event", "calm.open")]


def test_what_has_no_account_may_be_answered_again(damaged: System) -> None:
    """Once the group was destroyed, and the command was read again; not with another outcome."""
    nobodys = "WHERE user_id IS NULL AND outcome = 'unknown_chat'"
    entry = damaged.sql(f"SELECT stream_id FROM command_journal {nobodys}")
    id_ = damaged.sql(f"SELECT fields->>'id' FROM command_journal {nobodys}")
    again: dict[Any, Any] = {"entry": entry, "id": id_, "outcome": "unknown_chat", "replayed": "1"}
    damaged.client.xadd(KEYS.reply("me"), again)
    assert audited(damaged.engine, damaged.redis_url)[1] == []
    damaged.client.xadd(KEYS.reply("me"), {**again, "outcome": "ok"})
    _, (difference,) = audited(damaged.engine, damaged.redis_url)
    assert difference.kind == "reply"
