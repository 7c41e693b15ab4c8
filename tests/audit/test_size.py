"""However long the journal is, only a little of it is in memory at once."""

import gc

import pytest
from sqlalchemy import Connection, Engine, Row, text

from daemon.audit.differences import Difference, Findings
from daemon.audit.run import Audit, Scope
from persistence.postgres import reader
from persistence.postgres.rows import JournalRow
from persistence.redis.client import connect
from persistence.redis.snapshot_scan import SnapshotScan
from tests.audit.many import KEYS, Size, fill
from tests.servers import redis_server

SIZE = Size(users=20, commands=400)


class _Count:
    """Counts, now and then, the journal's rows in memory."""

    def __init__(self) -> None:
        self.calls = self.rows_max = self.fetched_max = 0
        gc.collect()  # other tests of this process may have left some, or keep them
        self._before = sum(type(o) is JournalRow for o in gc.get_objects())

    def __call__(self, _phase: str) -> None:
        self.calls += 1
        if self.calls % 700 == 0:
            held = gc.get_objects()
            rows = sum(type(o) is JournalRow for o in held) - self._before
            self.rows_max = max(self.rows_max, rows)
            self.fetched_max = max(self.fetched_max, sum(type(o) is Row for o in held))


def test_rows_come_and_go(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 8 000 rows a few are held, and as many fetched as the cursor gives at once."""
    monkeypatch.setattr(reader, "_FETCH_ROWS", 100)
    count, told = _Count(), list[Difference]()
    findings = Findings(told.append)
    with redis_server() as url:
        client = connect(url)
        fill(engine, client, SIZE)
        Audit(engine, SnapshotScan(client, KEYS), findings, count).run(Scope())
        client.close()
    assert (told, findings.users, findings.entries) == ([], SIZE.users, 8_000)
    assert count.calls > 8_000
    assert 0 < count.rows_max < 10
    assert count.fetched_max <= 3 * 100 + 10


def test_the_owners_of_chats_come_from_an_index(connection: Connection) -> None:
    """A partial index on who started which chat serves the look-up."""
    connection.execute(text("SET enable_seqscan = off"))
    connection.execute(text("SET plan_cache_mode = force_generic_plan"))
    for query in (reader.foreign_owners_query(["u"]), reader.owners_of_chats_query(["c"])):
        compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
        plan = "\n".join(connection.scalars(text(f"EXPLAIN {compiled}".replace(":", "\\:"))))
        assert "using command_journal_default_chat_id_idx on" in plan, plan
