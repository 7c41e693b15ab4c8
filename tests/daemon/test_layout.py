"""The number of partitions is that of the data, whichever server has it left."""

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from alembic import command
from sqlalchemy import Engine, make_url, text

from daemon.discovery.runfile import Addresses
from daemon.errors import PartitionsError
from daemon.process.daemon import prepare
from meterd.rules.redis_keys import Keys
from persistence.postgres import migrate
from persistence.postgres.engine import make_engine
from persistence.postgres.recorder_state import claim_recorder
from persistence.redis.client import connect
from tests.servers import redis_server


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with contextlib.closing(connect(redis_url)) as client:
        client.flushall()
        client.function_flush("SYNC")
        yield client


@pytest.fixture
def addresses(redis_url: str, engine: Engine, client: redis.Redis) -> Addresses:
    return Addresses(redis_url, make_url(engine.url).render_as_string(hide_password=False))


def _forget(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM layout"))


def _everything(client: redis.Redis) -> dict[bytes, bytes | None]:
    return {key: client.dump(key) for key in client.scan_iter("*")}


LOSSES: dict[str, Callable[[redis.Redis, Engine], object]] = {
    "nothing lost": lambda _client, _engine: None,
    "Redis lost": lambda client, _engine: client.flushall(),
    "Postgres lost": lambda _client, engine: _forget(engine),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("made", "wanted"), [(1, 4), (4, 1), (4, 2), (2, 4), (256, 1)])
def test_another_number_is_refused_and_changes_nothing(
    addresses: Addresses, client: redis.Redis, engine: Engine, made: int, wanted: int, loss: str
) -> None:
    """Both numbers are named; afterwards the number that the data was made with works as before."""
    prepare(addresses, made)
    LOSSES[loss](client, engine)
    before = _everything(client)
    with pytest.raises(PartitionsError) as caught:
        prepare(addresses, wanted)
    assert f"partitions is {wanted}," in str(caught.value)
    assert f"made with {made}:" in str(caught.value)
    assert _everything(client) == before
    prepare(addresses, made)
    prepare(addresses, made)


def test_one_partition_writes_no_key_that_0_1_did_not_have(
    addresses: Addresses, client: redis.Redis
) -> None:
    prepare(addresses, 1)
    assert list(client.scan_iter("*")) == [Keys().format.encode()]


def test_data_from_before_there_were_partitions_has_one(
    redis_url: str, empty_url: str, client: redis.Redis
) -> None:
    """Whichever server has some: an older version did not write how many there are."""
    old, engine = Addresses(redis_url, empty_url), make_engine(empty_url)
    with engine.begin() as connection:
        command.upgrade(migrate.alembic_config(connection), "0011")
    client.set(Keys().epoch, "7")
    with pytest.raises(PartitionsError, match="Redis was made with 1"):
        prepare(old, 2)
    client.flushall()
    with engine.begin() as connection:
        claim_recorder(connection, 0, "m")
    with pytest.raises(PartitionsError, match="PostgreSQL was made with 1"):
        prepare(old, 2)
    prepare(old, 1)
    engine.dispose()


def test_commands_that_wait_for_the_first_daemon_are_no_data(
    addresses: Addresses, client: redis.Redis
) -> None:
    """Backends may send before any daemon has worked, to whichever partition."""
    client.xadd(Keys().commands, {"type": "x"}, id=f"{time.time_ns() // 1_000_000}-0")
    prepare(addresses, 4)


def test_a_server_with_another_partition_in_the_place_of_one_is_refused(
    addresses: Addresses, client: redis.Redis
) -> None:
    """As when two URLs were swapped."""
    prepare(addresses, 2)
    client.rename(Keys(1).layout, Keys(0).layout)
    with pytest.raises(PartitionsError, match="has partition 1 where 0 should be"):
        prepare(addresses, 2)


@pytest.fixture(scope="module")
def other_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.mark.parametrize("change", ["swapped", "the second one left out", "a third one added"])
def test_several_servers_in_another_order_are_refused_before_anything_is_written(
    addresses: Addresses, client: redis.Redis, other_url: str, change: str
) -> None:
    """Both places are named. With one left out, its partitions are lost: Postgres says so."""
    a, b = addresses.redis_url, other_url
    with contextlib.closing(connect(b)) as other, redis_server() as c:
        other.flushall()
        made = Addresses.of((a, b), addresses.postgres_url)
        prepare(made, 4)
        prepare(made, 4)
        before = _everything(client), _everything(other)
        urls = {
            "swapped": (b, a),
            "the second one left out": (a, c),
            "a third one added": (a, b, c),
        }
        now = Addresses.of(urls[change], addresses.postgres_url)
        if change == "the second one left out":
            prepare(now, 4)  # nothing is on it; the comparison with Postgres is the supervisor's
        else:
            with pytest.raises(PartitionsError, match="name the servers in the order"):
                prepare(now, 4)
        assert (_everything(client), _everything(other)) == before
