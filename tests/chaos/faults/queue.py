"""The commands stream: group or stream gone, entries taken away, read by others, too early."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import redis

from loadtests.common.queue import is_handled
from loadtests.common.timeouts import scaled
from meterd.rules.commands import entry_key, entry_ms
from meterd.rules.redis_keys import GROUP
from persistence.redis.client import connect
from persistence.redis.clock_hold import clear_hold, drop_ahead, read_hold
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.faults.fault import Blow, Fault, NothingThereError, nothing
from tests.load import KEYS, Entry

UNREAD_S: Final = 0.4
"""For so long the daemon reads nothing, so that something is unread."""
FLIGHT_S: Final = 0.02
"""After so long, what was on its way to Redis is there; the next entry has a later millisecond."""
DRAINED_S_MAX: Final = 1.0
HELD_S_MAX: Final = scaled(30)
ANSWER_S_MAX: Final = scaled(30)
AHEAD_MS_MAX: Final = 5_000
"""The setting's default: an ID that is further ahead holds everything."""

_CUT: Final = """
local group = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if group.err or #group == 0 then return {} end
local facts = {}
for i = 1, #group[1], 2 do facts[group[1][i]] = group[1][i + 1] end
local delivered = facts['last-delivered-id']
local pending, removed = redis.call('XPENDING', KEYS[1], 'meterd', '-', '+', 1000000), {}
if ARGV[1] == 'DEL' then
  removed = redis.call('XRANGE', KEYS[1], '-', '+')
  redis.call('DEL', KEYS[1])
elseif ARGV[1] == 'XGROUP' then
  removed = redis.call('XRANGE', KEYS[1], '-', delivered)
  redis.call('XGROUP', 'DESTROY', KEYS[1], 'meterd')
elseif ARGV[1] == 'XTRIM' then
  local unread = #redis.call('XRANGE', KEYS[1], '(' .. delivered, '+')
  removed = redis.call('XRANGE', KEYS[1], '-', '+')
  redis.call('XTRIM', KEYS[1], 'MAXLEN', math.floor(unread / 2))
  for i = 1, math.floor(unread / 2) do removed[#removed] = nil end
else
  for i, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. delivered, '+')) do
    if i % 2 == 1 then
      removed[#removed + 1] = entry
      redis.call('XDEL', KEYS[1], entry[1])
    end
  end
end
return {delivered, pending, removed}
"""
"""Takes entries away and says which, in one step: what was delivered, pending, removed."""


def _cut(how: str, *, drained: bool) -> Callable[[ChaosEnvironment, random.Random], Blow]:
    """Take entries out of the stream, while the clients are silent for a moment."""

    def strike(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
        with _direct(environment) as client, _unread(environment, client, drained=drained):
            if how == "DEL" and _last_ms(client) > _now_ms(client):
                raise NothingThereError  # IDs would go back, behind those that accounts have had
            found: Any = client.eval(_CUT, 1, KEYS.commands, how)
            if not found:
                raise NothingThereError
            delivered, pending, removed = found
            waiting = {one[0].decode() for one in pending}
            entries = [_entry(*one) for one in removed]
            environment.queue_log.archive.update(entries)
            last = entry_key(delivered.decode())
            environment.queue_log.doubtful |= {
                entry for entry, _ in entries if entry in waiting or entry_key(entry) > last
            }
        return Blow(nothing, what=f"{len(entries)} entries")

    return strike


@contextlib.contextmanager
def _direct(environment: ChaosEnvironment) -> Iterator[redis.Redis]:
    """A client for long answers, if the server answers at all."""
    with contextlib.closing(
        connect(environment.redis.url, socket_timeout_s=ANSWER_S_MAX)
    ) as client:
        try:
            with contextlib.closing(environment.client()) as impatient:
                impatient.ping()
            yield client
        except redis.RedisError as error:
            raise NothingThereError from error


@contextlib.contextmanager
def _unread(environment: ChaosEnvironment, client: redis.Redis, *, drained: bool) -> Iterator[None]:
    """Everything is handled, or something is unread; and nobody sends anything."""
    try:
        if not drained:
            environment.to_redis.stall()
            time.sleep(UNREAD_S)
        with _silence(environment):
            deadline = time.monotonic() + DRAINED_S_MAX
            while drained and time.monotonic() < deadline and not is_handled(client):
                time.sleep(FLIGHT_S)
            yield
    finally:
        environment.to_redis.flow()


@contextlib.contextmanager
def _silence(environment: ChaosEnvironment) -> Iterator[None]:
    """Clients' commands wait at the proxy."""
    environment.to_clients.stall()
    try:
        time.sleep(FLIGHT_S)
        yield
        time.sleep(FLIGHT_S)
    finally:
        environment.to_clients.flow()


def _destroy_group(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    with _direct(environment) as client:
        found: Any = client.eval(_CUT, 1, KEYS.commands, "XGROUP")
        if not found:
            raise NothingThereError
        environment.queue_log.read_again.update(entry.decode() for entry, _ in found[2])
    return Blow(nothing, what=f"{len(found[2])} entries are read again")


def _stranger(environment: ChaosEnvironment, draw: random.Random) -> Blow:
    """Some tool reads a few entries in the daemon's group, again and again."""
    read, count = 0, draw.randint(1, 5)
    with _direct(environment) as client:
        for _ in range(20):
            found: Any = client.xreadgroup(GROUP, "tool", {KEYS.commands: ">"}, count=count)
            read += sum(len(entries) for _, entries in found or [])
            time.sleep(FLIGHT_S)
    return Blow(nothing, what=f"{read} entries")


def _ahead(ms: int) -> Callable[[redis.Redis, ChaosEnvironment], str]:
    def add(client: redis.Redis, environment: ChaosEnvironment) -> str:
        entry = f"{max(_now_ms(client), _last_ms(client)) + ms}-0"
        number = len(environment.queue_log.foreign)
        fields = {"type": "heartbeat", "id": f"ahead-{number}", "chat_id": "nobody.ahead"}
        environment.queue_log.foreign.append(fields)
        client.xadd(KEYS.commands, fields, id=entry)  # type: ignore[arg-type]
        deadline = time.monotonic() + HELD_S_MAX
        while read_hold(client, KEYS) is None:
            assert time.monotonic() < deadline, "an entry from the future holds nothing"
            time.sleep(FLIGHT_S)
        return entry

    return add


def _dropped(environment: ChaosEnvironment, _draw: random.Random) -> Blow:
    with _direct(environment) as client:
        entry = _ahead(3_600_000)(client, environment)
    return Blow(lambda: _drop(environment, entry), what=entry)


def _drop(environment: ChaosEnvironment, ahead: str) -> None:
    """As ``meterd clock drop`` does; what comes behind the entry gets IDs of now."""
    log = environment.queue_log
    with _direct(environment) as client, _silence(environment):
        hold = read_hold(client, KEYS)
        assert hold is not None, "nobody has decided"
        for one in _all(client):
            is_behind = entry_ms(one[0]) > _now_ms(client) + AHEAD_MS_MAX
            if one[0] != ahead:
                (log.moved if is_behind else log.archive).update([one])
        drop_ahead(client, KEYS, hold, AHEAD_MS_MAX, "chaos", _now_ms(client))


def _accepted(environment: ChaosEnvironment, draw: random.Random) -> Blow:
    with _direct(environment) as client:
        entry = _ahead(draw.randint(6_500, 9_000))(client, environment)
    return Blow(lambda: _accept(environment), what=entry)


def _accept(environment: ChaosEnvironment) -> None:
    with _direct(environment) as client:
        hold = read_hold(client, KEYS)
        assert hold is not None, "nobody has decided"
        clear_hold(client, KEYS, hold, "chaos", _now_ms(client))


def _all(client: redis.Redis) -> list[Entry]:
    found: Any = client.xrange(KEYS.commands)
    return [
        (entry.decode(), {k.decode(): v.decode() for k, v in fields.items()})
        for entry, fields in found
    ]


def _entry(entry: bytes, flat: list[bytes]) -> Entry:
    words = [word.decode() for word in flat]
    return entry.decode(), dict(zip(words[::2], words[1::2], strict=True))


def _last_ms(client: redis.Redis) -> int:
    """The millisecond of the stream's last ID: ahead of the clock, where that was accepted."""
    info: Any = client.xinfo_stream(KEYS.commands)
    return entry_ms(info["last-generated-id"].decode())


def _now_ms(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1_000 + int(micros) // 1_000


QUEUE = (
    Fault("group destroyed", _destroy_group, weight=2),
    Fault("stream deleted, all handled", _cut("DEL", drained=True), weight=1),
    Fault("stream deleted, some unread", _cut("DEL", drained=False), weight=1),
    Fault("a stranger reads", _stranger, weight=3),
    Fault("a producer trims", _cut("XTRIM", drained=False), weight=2),
    Fault("a producer deletes", _cut("XDEL", drained=False), weight=2),
    Fault("an entry from the future, dropped", _dropped, (0.5, 2.0), weight=2, alone=True),
    Fault("an entry from the future, accepted", _accepted, (0.5, 2.0), weight=1, alone=True),
)
