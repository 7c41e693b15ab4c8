"""What an earlier version left is read and gone on with; what a later one left is refused."""

import asyncio
import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import redis
from alembic import command
from sqlalchemy import text

from actors.supervisor.supervisor import SupervisorConfig
from daemon.settings.settings import RENAMED
from meterd.rules.model import Policy
from persistence.errors import PreflightError
from persistence.postgres import migrate
from persistence.postgres.engine import make_engine
from persistence.redis.client import connect
from persistence.redis.preflight import check_preflight
from persistence.redis.versions import FORMAT
from tests.books import assert_balanced
from tests.engine.harness import KEYS, idle, running
from tests.engine.play import differences
from tests.load import Entry
from tests.servers import kinds, redis_server

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
STATES = sorted(Path(__file__).parent.glob("state-*.json"))


def _put_redis(client: redis.Redis, keys: dict[str, Any]) -> None:
    """The keys as the earlier version left them."""
    put: dict[str, Any] = {
        "string": client.set,
        "set": lambda name, value: client.sadd(name, *value),
        "hash": lambda name, value: client.hset(name, mapping=value),
        "stream": lambda name, value: _put_stream(client, name, value),
    }
    for name, key in keys.items():
        put[key["type"]](name, key["value"])


def _put_stream(client: redis.Redis, name: str, stream: dict[str, Any]) -> None:
    for entry, fields in stream["entries"]:
        client.xadd(name, fields, id=entry)
    if not stream["entries"]:
        client.xdel(name, client.xadd(name, {"a": "b"}, id="0-1"))
    set_id: Any = client.execute_command
    set_id("XSETID", name, stream["last"])
    for group, delivered in stream["groups"].items():
        client.xgroup_create(name, group, id=delivered)


def _put_postgres(url: str, state: dict[str, Any]) -> None:
    """The schema of that version with its rows, and then the upgrade."""
    engine = make_engine(url)
    with engine.begin() as connection:
        command.upgrade(migrate.alembic_config(connection), state["schema"])
        for table, rows in state["tables"].items():
            insert = f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, :r)"
            connection.execute(text(insert), {"r": json.dumps(rows)})
    engine.dispose()
    migrate.upgrade(url)


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("path", STATES, ids=lambda path: path.stem)
def test_what_an_earlier_version_left_goes_on(kind: str, path: Path, empty_url: str) -> None:
    """Open chats, commands that nobody had read, ids, records: the books balance to the end."""
    state = json.loads(path.read_text())
    _put_postgres(empty_url, state)
    engine = make_engine(empty_url)
    log: list[Entry] = [(entry, fields) for entry, fields in state["sent"]]

    async def play(url: str, client: redis.Redis) -> None:
        check_preflight(client)
        async with running(url, engine, Policy(), SupervisorConfig(actors_max=2)):
            for chat in sorted({fields["chat_id"] for _, fields in log if "chat_id" in fields}):
                fields = {"type": "end", "id": f"end.{chat}", "chat_id": chat}
                added: Any = client.xadd(KEYS.commands, fields)  # type: ignore[arg-type]
                log.append((added.decode(), fields))
            await idle(url)

    with redis_server(kind) as url, contextlib.closing(connect(url)) as client:
        _put_redis(client, state["keys"])
        asyncio.run(play(url, client))
        assert client.get(KEYS.format) == str(FORMAT).encode(), "written with the lease"
        assert_balanced(client, engine, log)
        assert differences(client, engine) == []
    engine.dispose()


def test_what_a_later_version_left_is_refused_with_the_way_to_go() -> None:
    """Nothing is touched."""
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        client.set(KEYS.format, FORMAT + 1)
        with pytest.raises(PreflightError, match="install the meterd that wrote it"):
            check_preflight(client)


def test_a_redis_that_may_throw_keys_away_is_refused() -> None:
    """They are credits, and the ids that keep commands from counting twice."""
    with redis_server() as url, contextlib.closing(connect(url)) as client:
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "volatile-ttl")
        with pytest.raises(PreflightError, match="set maxmemory-policy noeviction"):
            check_preflight(client)
        client.config_set("maxmemory-policy", "noeviction")
        check_preflight(client)


def test_the_upgrade_guide_names_every_renamed_setting() -> None:
    """Each old name is refused with the new one (tests/daemon/test_settings.py)."""
    guide = CHANGELOG.read_text().partition("### Upgrade from 0.1")[2].partition("### Added")[0]
    rows = re.findall(r"^ *\| `([a-z_.]+)` \| `([a-z_.]+)` \|$", guide, re.MULTILINE)
    assert dict(rows) == {".".join(old): new for old, new in RENAMED.items()}
