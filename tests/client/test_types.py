"""What type checkers tell users; mypy reads this file, so each line here is a test of types."""

from collections.abc import Coroutine
from typing import Any, assert_type

from meterd import AsyncMeter, ChatSnapshot, Event, Meter, Reply, Sent, WalletSnapshot
from meterd.rules.model import FreeScope, IncrementDue


def threads(meter: Meter) -> None:
    """Results themselves."""
    assert_type(meter.start("c", "u", "a", rate="1"), Reply[ChatSnapshot])
    assert_type(meter.start("c", "u", "a", id="i"), Reply[ChatSnapshot])
    assert_type(meter.enqueue.start("c", "u", "a"), Sent)
    assert_type(meter.pause("c", timeout_s=1), Reply[ChatSnapshot])
    assert_type(meter.enqueue.end("c", "left"), Sent)
    assert_type(meter.top_up("u", 1), Reply[WalletSnapshot])
    assert_type(meter.enqueue.top_up("u", 1), Sent)
    assert_type(meter.adjust("u", "-1", "typo", partial=True), Reply[WalletSnapshot])
    assert_type(meter.enqueue.adjust("u", -1), Sent)
    assert_type(meter.start("c", "u", "a", free_scope="advisor"), Reply[ChatSnapshot])
    assert_type(meter.snapshot("c").free_scope, FreeScope)
    assert_type(meter.snapshot("c").increment_due, IncrementDue)
    assert_type(meter.enqueue.command({"type": "pause", "chat_id": "c"}), Sent)
    assert_type(meter.command({}), Reply[ChatSnapshot] | Reply[WalletSnapshot])
    assert_type(meter.snapshot("c"), ChatSnapshot)
    assert_type(meter.wallet("u"), WalletSnapshot)
    for event in meter.events():
        assert_type(event, Event)
    meter.pause("c", timeout=1)  # type: ignore[call-arg]
    meter.pause("c", wait=False)  # type: ignore[call-arg]
    meter.set_rate("c", 0.5)  # type: ignore[arg-type]
    meter.start("c", "u", "a", free_scope="city")  # type: ignore[arg-type]
    meter.start("c", "u", "a", increment_due="late")  # type: ignore[arg-type]


async def tasks(meter: AsyncMeter) -> None:
    """The same, awaited."""
    assert_type(meter.start("c", "u", "a"), Coroutine[Any, Any, Reply[ChatSnapshot]])  # type: ignore[unused-coroutine]
    assert_type(await meter.start("c", "u", "a"), Reply[ChatSnapshot])
    assert_type(await meter.enqueue.refund("c", 1), Sent)
    assert_type(await meter.top_up("u", 1), Reply[WalletSnapshot])
    assert_type(await meter.adjust("u", -1), Reply[WalletSnapshot])
    assert_type(await meter.snapshot("c"), ChatSnapshot)
    assert_type(await meter.wallet("u"), WalletSnapshot)
    async for event in meter.events(after="0", user_id="u"):
        assert_type(event, Event)


def test_the_functions_above_are_there_for_mypy() -> None:
    """Nothing to run: `mypy` fails if a type above is not as it says."""
    assert callable(threads)
    assert callable(tasks)
