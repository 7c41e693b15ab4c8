"""Replies find the commands they belong to, however many wait at once."""

import random
import threading
from concurrent.futures import Future
from typing import Any

import pytest
import redis

from meterd import (
    ChatSnapshot,
    CommandRefusedError,
    InsufficientCreditsError,
    NoReplyError,
    Reply,
    WalletSnapshot,
)
from meterd._errors import REFUSALS
from meterd._pending import EARLY_MAX, AnyReply, Pending
from meterd.rules.outcomes import MESSAGES, OK
from tests.client.by_hand import KEYS, Fields, answering, commands, reply, until
from tests.client.either import Make

pytestmark = pytest.mark.redis


def test_a_reply_is_typed(meter: Any, server: str) -> None:
    """Everything the daemon said, and the snapshot as an object."""
    with answering(server):
        answer = meter.pause("c", id="mine")
    assert answer.id == "mine"
    assert (answer.outcome, answer.message, answer.replayed) == ("ok", "done", False)
    assert f"{answer.at}-" in answer.entry
    assert isinstance(answer.snapshot, ChatSnapshot)
    assert answer.snapshot.chat_id == "c"


@pytest.mark.parametrize("call", ["top_up", "adjust"])
def test_a_change_of_an_account_is_answered_with_it(meter: Any, server: str, call: str) -> None:
    """The account, not a chat."""
    with answering(server):
        answer = getattr(meter, call)("u", 1)
    assert isinstance(answer.snapshot, WalletSnapshot)
    assert answer.snapshot.user_id == "u"


def test_a_reply_may_have_no_snapshot(meter: Any, server: str) -> None:
    """There is none where there is nothing to show."""
    with answering(server, lambda *a: reply(*a, snapshot="")):
        assert meter.pause("c").snapshot is None


@pytest.mark.parametrize("outcome", sorted(set(MESSAGES) - {OK}))
def test_each_error_outcome_is_an_exception_of_its_own(
    meter: Any, server: str, outcome: str
) -> None:
    """A backend catches what it can handle by name; outcome and reply say the rest."""

    def refuse(client: redis.Redis, entry: str, command: Fields) -> None:
        reply(client, entry, command, outcome=outcome, message=MESSAGES[outcome])

    with answering(server, refuse), pytest.raises(REFUSALS[outcome]) as caught:
        meter.pause("c", id="mine")
    error = caught.value
    assert type(error) is not CommandRefusedError
    assert (error.outcome, error.id) == (outcome, "mine")
    assert error.reply is not None
    assert error.reply.outcome == outcome
    assert MESSAGES[outcome] in str(error)


def test_an_outcome_of_a_later_release_is_a_refusal_too(meter: Any, server: str) -> None:
    """A client older than its daemon still says what it was told."""
    with (
        answering(server, lambda *a: reply(*a, outcome="moon_phase", message="not tonight")),
        pytest.raises(CommandRefusedError, match="not tonight") as caught,
    ):
        meter.pause("c")
    assert caught.value.outcome == "moon_phase"


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
        results = meter.gather([_pause(f"chat-{n}") for n in range(200)])
    assert [_chat_of(result) for result in results] == [f"chat-{n}" for n in range(200)]
    assert len({result.entry for result in results}) == 200
    assert len(meter.core.pending) == 0


def _pause(chat_id: str) -> Any:
    return lambda meter: meter.pause(chat_id, timeout_s=30)


def _chat_of(result: object) -> str:
    assert isinstance(result, Reply), result
    assert isinstance(result.snapshot, ChatSnapshot)
    return result.snapshot.chat_id


def test_one_reader_serves_all(make: Make, server: str, queue: redis.Redis) -> None:
    """Fifty commands at once wait over one blocked connection."""
    meter = make(server)
    blocked = []

    def count(client: redis.Redis, entry: str, command: Fields) -> None:
        blocked.append(sum(c["cmd"] == "xread" for c in client.client_list()))
        reply(client, entry, command)

    with answering(server, count):
        meter.gather([_pause("c")] * 50)
    assert max(blocked) <= 2  # the client's reader, and the one that answers


def test_no_reply_in_time_says_what_to_do(meter: Any, queue: redis.Redis) -> None:
    """The command stays in the queue; the error has what is needed to ask again."""
    with pytest.raises(NoReplyError, match="may still take effect") as caught:
        meter.top_up("u", 5, timeout_s=0.05)
    assert isinstance(caught.value, TimeoutError)
    ((entry, fields),) = commands(queue)
    assert (caught.value.id, caught.value.entry) == (fields["id"], entry)
    assert len(meter.core.pending) == 0


def test_time_outs_leave_nothing_behind(meter: Any, server: str) -> None:
    """A hundred commands without a reply, then all slots and the table are free again."""
    results = meter.gather([lambda m: m.pause("c", timeout_s=0.2)] * 100)
    assert {type(result) for result in results} == {NoReplyError}
    assert len(meter.core.pending) == 0
    with answering(server):
        assert meter.pause("c").is_ok


def test_a_late_reply_is_not_taken_for_a_later_command_of_the_same_id(
    meter: Any, queue: redis.Redis
) -> None:
    """Other content under a used id must not get the first one's reply."""
    with pytest.raises(NoReplyError):
        meter.top_up("u", 10, id="mine", timeout_s=0.05)
    first = commands(queue)[0]
    answers = threading.Thread(target=_answer_both, args=(queue, first))
    answers.start()
    with pytest.raises(CommandRefusedError) as caught:
        meter.top_up("u", 20, id="mine")
    answers.join()
    assert caught.value.outcome == "id_conflict"


def _answer_both(queue: redis.Redis, first: tuple[str, Fields]) -> None:
    until(lambda: len(commands(queue)) == 2)
    reply(queue, *first)
    reply(queue, *commands(queue)[1], outcome="id_conflict", message="other content")


def test_the_same_id_again_gets_its_reply(meter: Any, queue: redis.Redis) -> None:
    """Trying again after NoReplyError gives the outcome, whichever attempt had the effect."""
    with pytest.raises(NoReplyError) as caught:
        meter.top_up("u", 10, timeout_s=0.05)
    first = commands(queue)[0]

    def both() -> None:
        until(lambda: len(commands(queue)) == 2)
        reply(queue, *first)
        reply(queue, *commands(queue)[1], replayed="1")

    answers = threading.Thread(target=both)
    answers.start()
    assert meter.top_up("u", 10, id=caught.value.id).replayed
    answers.join()


def test_the_same_id_at_once_gets_two_replies(meter: Any, server: str) -> None:
    """Each waits for its own entry."""
    with answering(server):
        results = meter.gather([lambda m: m.pause("c", id="mine")] * 10)
    assert len({result.entry for result in results}) == 10


def test_a_reply_faster_than_the_answer_to_xadd_is_kept() -> None:
    """It waits for the command to learn its entry; so many are kept, and no more."""
    pending = Pending(threading.Event())
    future: Future[AnyReply] = Future()
    waiting = pending.add("i", future)
    for number in range(100):
        pending.deliver("i", Reply("i", "ok", "", f"{number}-0", False, None))
    assert len(waiting.early) == EARLY_MAX
    pending.expect(waiting, "3-0")
    assert future.result(0).entry == "3-0"
    assert len(pending) == 0


def test_an_unreadable_reply_harms_nobody(meter: Any, server: str, queue: redis.Redis) -> None:
    """The reader goes on with the next one."""

    def litter(client: redis.Redis, entry: str, command: Fields) -> None:
        stream = KEYS.reply(command["reply_to"])
        client.xadd(stream, {"what": "is this"})
        client.xadd(stream, {"id": command["id"], "outcome": "ok", "entry": "1-1", "snapshot": "{"})
        reply(client, entry, command)

    with answering(server, litter):
        assert meter.pause("c").is_ok


def test_a_reply_stream_that_expired_is_read_on(
    meter: Any, server: str, queue: redis.Redis
) -> None:
    """After an hour without replies the stream is gone; the next one makes it again."""
    with answering(server):
        meter.pause("c")
        stream = KEYS.reply(meter.core.reply_to)
        last: Any = queue.xinfo_stream(stream)
        queue.delete(stream)
        _until_later(queue, int(last["last-generated-id"].partition(b"-")[0]))
        assert meter.pause("c").is_ok


def _until_later(queue: redis.Redis, ms: int) -> None:
    """An hour has passed, or a millisecond at least: a new stream's IDs begin with the time."""
    seconds, micros = queue.time()
    while int(seconds) * 1_000 + int(micros) // 1_000 <= ms:
        seconds, micros = queue.time()


def test_a_refusal_keeps_its_base(meter: Any, server: str) -> None:
    """One except for all refusals is enough."""
    with (
        answering(server, lambda *a: reply(*a, outcome="insufficient_credits", message="no")),
        pytest.raises(CommandRefusedError) as caught,
    ):
        meter.resume("c")
    assert isinstance(caught.value, InsufficientCreditsError)
