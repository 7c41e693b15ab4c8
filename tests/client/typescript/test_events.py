"""Events of the client in TypeScript: each once, in order, and none lost unsaid."""

import threading
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.client.by_hand import KEYS, until
from tests.client.typescript.node import NODE, Call, Driver, Failed, run

pytestmark = [pytest.mark.redis, pytest.mark.timeout(60)]


def test_closing_events_ends_the_iteration(make: Call, server: str, queue: redis.Redis) -> None:
    """At once, though it waits for an event: a connection closed here is not tried again."""
    meter = make(server)
    meter.driver.ask("follow", meter=meter.name, name="idle", after="$")
    reading = meter.driver.begin("read", name="idle", count=1)
    until(lambda: any(one["cmd"] == "xread" for one in queue.client_list()))
    meter.driver.ask("unfollow", name="idle")
    assert reading.result(3)["events"] == []


def test_a_gap_in_the_events_is_an_error(meter: Any, driver: Driver, queue: redis.Redis) -> None:
    """Whoever was away for too long is told, and by how far; what is left can be read."""
    ids = [_happen(queue) for _ in range(8)]
    queue.xtrim(KEYS.events, maxlen=3, approximate=False)
    for name, after in (("gap", ids[1]), ("whole", ids[5]), ("rest", "0")):
        driver.ask("follow", meter=meter.name, name=name, after=after)
    with pytest.raises(Failed) as caught:
        driver.ask("read", name="gap", count=1)
    assert (caught.value.said["error"], caught.value.said["after"]) == ("EventsLostError", ids[1])
    assert driver.ask("read", name="whole", count=1)["events"][0]["id"] == ids[6]
    assert driver.ask("read", name="rest", count=1)["events"][0]["id"] == ids[5]


def test_more_events_than_one_read_holds_come_in_order(
    meter: Any, driver: Driver, queue: redis.Redis
) -> None:
    """Written while they are read."""
    ids = [_happen(queue) for _ in range(700)]
    driver.ask("follow", meter=meter.name, name="all", after="0")
    reading = driver.begin("read", name="all", count=900)
    ids += [_happen(queue) for _ in range(200)]
    assert [event["id"] for event in reading.result(30)["events"]] == ids


def test_leaving_a_loop_over_events_ends_them(
    package: Path, server: str, queue: redis.Redis
) -> None:
    """After close nothing keeps the process alive, and a loop that is left closes its events."""
    first, _ = _happen(queue), _happen(queue)
    program = (
        "import { Meter } from './src/index.js';"
        "const meter = new Meter(process.argv[1]);"
        "const events = meter.events({ after: '0' });"
        "for await (const event of events) break;"
        "for await (const event of events) throw new Error('it went on');"
        "console.log(events.after);"
        "await meter.wallet('u'); await meter.close();"
    )
    done = run(NODE, "--input-type=module", "-e", program, server, cwd=package, timeout_s=10)
    assert done.stdout.strip() == first


def test_calls_that_overlap_share_the_events(
    meter: Any, driver: Driver, queue: redis.Redis
) -> None:
    """Each event is given out once, whoever asks."""
    driver.ask("follow", meter=meter.name, name="shared", after="0")
    readings = [driver.begin("read", name="shared", count=50) for _ in range(4)]
    writer = threading.Thread(target=lambda: ids.extend(_happen(queue) for _ in range(200)))
    ids: list[str] = []
    writer.start()
    given = [event["id"] for each in readings for event in each.result(30)["events"]]
    writer.join()
    assert sorted(given) == sorted(ids)


def _happen(queue: redis.Redis) -> str:
    fields: Any = {"event": "chat.started", "at": "5", "user_id": "u", "chat_id": "c", "seq": "1"}
    entry: Any = queue.xadd(KEYS.events, fields)
    return str(entry.decode())
