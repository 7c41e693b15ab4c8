"""The client in TypeScript where no daemon is needed: rules, replies written by hand, faults."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from meterd._errors import REFUSALS
from meterd._results import ChatSnapshot, WalletSnapshot
from meterd.rules.commands import SHAPES
from meterd.rules.field_formats import FIELD_FORMATS, format_of
from meterd.rules.outcomes import MESSAGES, OK
from tests.client.by_hand import (
    KEYS,
    Fields,
    answering,
    chat_json,
    commands,
    reply,
    until,
    wallet_json,
)
from tests.client.typescript.node import NODE, Driver, Failed, run
from tests.proxy import Proxy
from tests.servers import free_port

pytestmark = [pytest.mark.redis, pytest.mark.timeout(60)]

_NUMBERS = count()
Call = Callable[..., Any]


class Meter:
    """One client in the driver's process."""

    def __init__(self, driver: Driver, url: str, **options: object) -> None:
        self.driver = driver
        self.name = f"m{next(_NUMBERS)}"
        driver.ask("make", meter=self.name, url=url, options=options)

    def begin(self, method: str, *, enqueue: bool = False, **args: object) -> Any:
        return self.driver.begin("call", meter=self.name, method=method, args=args, enqueue=enqueue)

    def call(self, method: str, **args: Any) -> Any:
        return self.begin(method, **args).result(30)

    def close(self) -> None:
        self.driver.ask("close", meter=self.name)


@pytest.fixture
def make(driver: Driver) -> Iterator[Call]:
    """Makes clients, and closes them in the end."""
    made: list[Meter] = []

    def make(url: str, **options: object) -> Meter:
        made.append(Meter(driver, url, **options))
        return made[-1]

    yield make
    for meter in made:
        meter.close()


@pytest.fixture
def meter(server: str, queue: redis.Redis, make: Call) -> Any:
    """A client on an empty server."""
    return make(server)


def refused(meter: Any, method: str, **args: object) -> dict[str, Any]:
    with pytest.raises(Failed) as caught:
        meter.call(method, **args)
    return caught.value.said


def test_the_commands_are_those_of_the_rules(package: Path) -> None:
    """Each type has the same fields, needed and possible; each field is checked."""
    program = (
        "import { SHAPES } from './src/fields.js';"
        "import { Meter } from './src/index.js';"
        "const methods = Object.keys(SHAPES).filter((type) => type in Meter.prototype);"
        "console.log(JSON.stringify({ SHAPES, methods }));"
    )
    said = json.loads(run(NODE, "--input-type=module", "-e", program, cwd=package).stdout)
    wanted = {
        name: {"needs": list(shape.needs), "may_have": list(shape.may_have)}
        for name, shape in SHAPES.items()
        if name != "settle"
    }
    assert said == {"SHAPES": wanted, "methods": list(wanted)}


TEXTS = (
    "", "0", "1", "-1", "0.0", "1.5", "1.", ".5", "-0.000001", "0.0000001", "999999999.999999",
    "1000000000", "999999999999", "1000000000000", "a", "a b", "a\n", "x" * 64, "x" * 65, "x" * 128,
    "x" * 129, "é", "٣", "chat", "advisor", "user", "begin", "end", "a_.:@/+=-9", "constructor",
)  # fmt: skip


def test_a_value_is_refused_if_and_only_if_the_rules_refuse_it(
    meter: Any, queue: redis.Redis
) -> None:
    """Each field of each command with texts at the borders of every form."""
    asked, allowed = [], []
    for type_, shape in SHAPES.items():
        for name in (*shape.needs, *shape.may_have) if type_ != "settle" else ():
            if name == "id" or name.endswith("_ms") or name == "started_at":
                continue  # an id is a field like chat_id; times are numbers, see the table of cases
            least = {need: _least(type_, need) for need in shape.needs if need != "id"}
            for text in TEXTS:
                form = format_of(type_, name)
                fits = form.pattern.fullmatch(text) is not None
                allowed.append(fits and not (form.is_above_0 and Decimal(text) == 0))
                fields = {"type": type_, **least, name: text}
                asked.append(meter.begin("command", enqueue=True, fields=fields))
    found = [future.exception(30) is None for future in asked]
    assert found == allowed
    assert 100 < sum(allowed) == len(commands(queue))


def _least(type_: str, name: str) -> object:
    form = format_of(type_, name)
    assert name in FIELD_FORMATS
    return 1 if form.pattern.fullmatch("1") and name.endswith(("_ms", "_at")) else "1"


@pytest.mark.parametrize("outcome", sorted(set(MESSAGES) - {OK}))
def test_each_outcome_is_an_error_of_the_same_name_as_in_python(
    meter: Any, server: str, outcome: str
) -> None:
    """Those too that a daemon rarely gives."""

    def refuse(client: redis.Redis, entry: str, command: Fields) -> None:
        reply(client, entry, command, outcome=outcome, message=MESSAGES[outcome])

    with answering(server, refuse):
        said = refused(meter, "pause", chat_id="c", id="mine")
    assert said["error"] == REFUSALS[outcome].__name__
    assert said["kinds"][1:] == ["CommandRefusedError", "MeterError", "Error"]
    assert (said["outcome"], said["id"]) == (outcome, "mine")
    assert said["reply"]["message"] == MESSAGES[outcome]


def test_an_outcome_of_a_later_release_is_a_refusal_too(meter: Any, server: str) -> None:
    """A client older than its daemon still says what it was told."""
    with answering(server, lambda *a: reply(*a, outcome="moon_phase", message="not tonight")):
        said = refused(meter, "pause", chat_id="c")
    assert (said["error"], said["outcome"]) == ("CommandRefusedError", "moon_phase")
    assert "not tonight" in said["message"]


def test_many_at_once_each_get_their_own(meter: Any, server: str) -> None:
    """Two hundred commands in flight over one reader, answered in a wild order."""
    held: list[tuple[str, Fields]] = []

    def shuffled(client: redis.Redis, entry: str, command: Fields) -> None:
        held.append((entry, command))
        if len(held) == 200:
            random.shuffle(held)
            for one in held:
                reply(client, *one)

    with answering(server, shuffled):
        futures = [meter.begin("pause", chat_id=f"c{n}", timeout_s=30) for n in range(200)]
        replies = [future.result(30) for future in futures]
    assert [each["snapshot"]["chat_id"] for each in replies] == [f"c{n}" for n in range(200)]
    assert len({each["entry"] for each in replies}) == 200


def test_a_late_reply_is_not_taken_for_a_later_command_of_the_same_id(
    meter: Any, queue: redis.Redis
) -> None:
    """Other content under a used id must not get the first one's reply."""
    first = meter.begin("top_up", user_id="u", amount="10", id="mine", timeout_s=0.3)
    assert isinstance(first.exception(30), Failed)
    second = meter.begin("top_up", user_id="u", amount="20", id="mine")
    until(lambda: len(commands(queue)) == 2)
    one, two = commands(queue)
    reply(queue, *one)
    reply(queue, *two, outcome="id_conflict", message="other content")
    failed = second.exception(30)
    assert isinstance(failed, Failed)
    assert failed.said["outcome"] == "id_conflict"


EARLY = """
import assert from "node:assert/strict";
import { Pending } from "./src/pending.js";

const pending = new Pending();
const waiting = pending.add("i");
for (let n = 0; n < 100; n += 1) pending.deliver("i", { id: "i", entry: `${n}-0` });
waiting.expect("3-0");
assert.equal((await waiting.reply).entry, "3-0");
const late = pending.add("i");
for (let n = 0; n < 100; n += 1) pending.deliver("i", { id: "i", entry: `${n}-0` });
late.expect("16-0");
const nothing = await Promise.race([late.reply, new Promise((done) => setTimeout(done, 20, null))]);
assert.equal(nothing, null);
pending.remove(waiting);
pending.remove(late);
assert.ok(pending.is_empty);
"""


def test_a_reply_faster_than_the_answer_to_xadd_is_kept(package: Path) -> None:
    """It waits for the command to learn its entry; sixteen are kept, and no more."""
    run(NODE, "--input-type=module", "-e", EARLY, cwd=package)


def test_an_unreadable_reply_harms_nobody(meter: Any, server: str, queue: redis.Redis) -> None:
    """The reader goes on with the next one."""

    def litter(client: redis.Redis, entry: str, command: Fields) -> None:
        stream = KEYS.reply(command["reply_to"])
        client.xadd(stream, {"what": "is this"})
        client.xadd(stream, {"id": command["id"], "outcome": "ok", "entry": "1-1", "snapshot": "{"})
        reply(client, entry, command)

    with answering(server, litter):
        assert meter.call("pause", chat_id="c")["outcome"] == "ok"


def test_at_most_so_many_wait_at_once(make: Call, server: str, queue: redis.Redis) -> None:
    """Beyond in_flight_max a command waits for its turn, then nothing of it is sent."""
    meter = make(server, in_flight_max=2)
    first = [meter.begin("pause", chat_id="c", timeout_s=1.5) for _ in range(2)]
    until(lambda: len(commands(queue)) == 2)
    assert refused(meter, "pause", chat_id="late", timeout_s=0.2)["error"] == "BusyError"
    assert [future.exception(30).said["error"] for future in first] == ["NoReplyError"] * 2
    with answering(server):
        assert meter.call("pause", chat_id="next")["outcome"] == "ok"
    assert {fields["chat_id"] for _, fields in commands(queue)} == {"c", "next"}


def test_a_refusal_of_the_server_is_not_repeated(meter: Any, queue: redis.Redis) -> None:
    """What can't get better is told at once."""
    queue.set(KEYS.commands, "not a stream")
    started = time.monotonic()
    said = refused(meter, "pause", chat_id="c")
    assert said["error"] == "NotConfirmedError"
    assert "WRONGTYPE" in said["message"]
    assert time.monotonic() - started < 1


def test_a_password_that_is_wrong_is_told_at_once(
    make: Call, server: str, queue: redis.Redis
) -> None:
    """And the error does not repeat it."""
    meter = make(server.replace("redis://", "redis://nobody:secret-word@"))
    started = time.monotonic()
    said = refused(meter, "wallet", user_id="u")
    assert said["error"] == "UnavailableError"
    assert time.monotonic() - started < 2
    assert "secret-word" not in json.dumps(said)


@pytest.mark.parametrize("url", ["", "http://h", "127.0.0.1:6379", "redis://user:secret-word@h:x"])
def test_what_is_no_url_of_redis_is_refused_at_once(make: Call, url: str) -> None:
    """Without repeating it, since it may hold a password."""
    with pytest.raises(Failed) as caught:
        make(url)
    assert caught.value.said["error"] == "TypeError"
    assert "secret-word" not in json.dumps(caught.value.said)


@pytest.mark.parametrize("url", ["rediss://h:1/2", "unix:///none.sock", "unix://u:p@/none?db=1"])
def test_any_url_that_the_library_reads_will_do(make: Call, url: str) -> None:
    """Nothing is connected before the first call, so nothing has to be there."""
    said = refused(make(url), "pause", chat_id="c", timeout_s=0.1)
    assert said["error"] == "NotConfirmedError"


def test_a_server_that_accepts_and_says_nothing_ends_the_call_in_time(
    make: Call, proxy: Proxy
) -> None:
    """Connecting has a limit, too, and closing does not wait for it."""
    proxy.stall()
    meter = make(proxy.url)
    started = time.monotonic()
    said = refused(meter, "pause", chat_id="c", timeout_s=0.5)
    assert said["error"] == "NotConfirmedError"
    meter.close()
    assert time.monotonic() - started < 2
    proxy.flow()


@pytest.mark.slow
@pytest.mark.parametrize("is_connected", [False, True])
def test_a_connection_that_gives_no_answer_is_left_for_another_one(
    make: Call, proxy: Proxy, queue: redis.Redis, is_connected: bool
) -> None:
    """After 2 seconds of connecting, or 3 of waiting: it may lead to a server that is gone."""
    meter = make(proxy.url)
    if is_connected:
        meter.call("wallet", user_id="u")
    proxy.stall()
    accepted = proxy.accepted
    asking = meter.begin("wallet", user_id="u")
    until(lambda: proxy.accepted >= accepted + (1 if is_connected else 2), timeout_s=8)
    proxy.flow()
    assert asking.result(30)["user_id"] == "u"


def test_closing_leaves_no_connection(make: Call, server: str, queue: redis.Redis) -> None:
    """Neither of events that were closed nor of the client."""
    before = len(queue.client_list())
    meter = make(server)
    meter.driver.ask("follow", meter=meter.name, name="closed", after="$")
    assert len(queue.client_list()) == before + 1
    meter.driver.ask("unfollow", name="closed")
    until(lambda: len(queue.client_list()) == before)
    meter.driver.ask("follow", meter=meter.name, name="open", after="$")
    with answering(server):
        meter.call("pause", chat_id="c")
    meter.close()
    until(lambda: len(queue.client_list()) == before)


def test_closing_events_ends_the_iteration(make: Call, server: str, queue: redis.Redis) -> None:
    """At once, though it waits for an event: a connection closed here is not tried again."""
    meter = make(server)
    meter.driver.ask("follow", meter=meter.name, name="idle", after="$")
    reading = meter.driver.begin("read", name="idle", count=1)
    until(lambda: any(one["cmd"] == "xread" for one in queue.client_list()))
    meter.driver.ask("unfollow", name="idle")
    assert reading.result(3)["events"] == []


def test_a_server_that_is_read_only_is_left_for_its_successor(
    make: Call, proxy: Proxy, server: str, queue: redis.Redis
) -> None:
    """A master that was demoted stays connected: after READONLY a new connection is made."""
    meter = make(proxy.url)
    assert meter.call("wallet", user_id="u")["seq"] == 0
    queue.replicaof("127.0.0.1", str(free_port()))
    accepted = proxy.accepted
    sending = meter.begin("pause", enqueue=True, chat_id="c")
    until(lambda: proxy.accepted > accepted)
    queue.replicaof("NO", "ONE")
    assert sending.result(30)["entry"]


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


def _happen(queue: redis.Redis) -> str:
    fields: Any = {"event": "chat.started", "at": "5", "user_id": "u", "chat_id": "c", "seq": "1"}
    entry: Any = queue.xadd(KEYS.events, fields)
    return str(entry.decode())


def test_a_snapshot_of_version_0_1_is_read(meter: Any, queue: redis.Redis) -> None:
    """It lacks what the contract has since; fields of a later release are left out."""
    written = json.loads(chat_json("c", mood="good"))
    for name in ("free_scope", "increment_due", "abandon_ms", "max_ms"):
        del written[name]
    queue.set(KEYS.chat("c"), json.dumps(written))
    assert meter.call("snapshot", chat_id="c") == json.loads(chat_json("c"))


def test_what_a_snapshot_says_of_a_later_moment_is_what_it_says_in_python(driver: Driver) -> None:
    """Time, cost and balance, to the millisecond and the micro-credit."""
    draw = random.Random(16)
    asked, wanted = [], []
    for _ in range(200):
        now_ms = 1_000 + draw.choice((-5, 0, 1, draw.randrange(10**6)))
        chat = json.loads(
            chat_json(
                "c", status=draw.choice(("running", "running", "paused")),
                rate=f"{draw.randrange(10**7) / 10**6:.6f}", cost=f"{draw.randrange(100)}.000001",
                active_ms=draw.randrange(10**5), free_ms=draw.choice((0, draw.randrange(10**5))),
                min_ms=draw.choice((0, 60_000)), increment_ms=draw.choice((1, 7, 60_000)),
                increment_due=draw.choice(("begin", "end")),
            )
        )  # fmt: skip
        wallet = json.loads(
            wallet_json(
                "u", balance=f"{draw.randrange(100)}.{draw.randrange(10**6):06}",
                burn_rate=f"{draw.randrange(10**8) / 10**6:.6f}",
                zero_at=draw.choice((None, 1_000, 50_000)),
            )
        )  # fmt: skip
        python_chat = msgspec.convert(chat, ChatSnapshot)
        python_wallet = msgspec.convert(wallet, WalletSnapshot)
        for snapshot, method, value in (
            (chat, "active_ms_at", python_chat.active_ms_at(now_ms)),
            (chat, "cost_at", f"{python_chat.cost_at(now_ms):.6f}"),
            (wallet, "balance_at", f"{python_wallet.balance_at(now_ms):.6f}"),
        ):
            asked.append(driver.begin("later", snapshot=snapshot, method=method, now_ms=now_ms))
            wanted.append(value)
    assert [future.result(30) for future in asked] == wanted


RECORDS = """
import assert from "node:assert/strict";
import { Meter, UnavailableError } from "./src/index.js";

const record = JSON.parse(process.argv[2]);
const answers = { old: () => record, none: async () => null, broken: async () => ({ cost: 1 }) };
const meter = new Meter(process.argv[1], { read_record: (chat_id) => answers[chat_id]() });
const old = await meter.snapshot("old");
assert.deepEqual(JSON.parse(JSON.stringify(old)), record);
assert.ok(!old.is_open);
assert.equal(old.source, record.increment_ms === 0 ? "migrated" : "live");
assert.equal((await meter.snapshot("none")).source, null);
assert.equal((await meter.snapshot("none")).status, "not_started");
await assert.rejects(meter.snapshot("broken"), UnavailableError);
await meter.close();
"""


def test_a_chat_that_left_redis_is_read_where_the_caller_says(
    package: Path, server: str, queue: redis.Redis
) -> None:
    """Its record as a snapshot; not to know is not the same as never started."""
    for increment_ms in (1, 0):
        record = chat_json("old", status="ended", ended_at=9, increment_ms=increment_ms)
        run(NODE, "--input-type=module", "-e", RECORDS, server, record, cwd=package)


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
