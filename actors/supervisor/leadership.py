"""One daemon leads: the lease, and the check that Redis has all that PostgreSQL knows of."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import redis
import structlog
from sqlalchemy.exc import SQLAlchemyError

from actors.supervisor.balance import Turn
from persistence.errors import NotLeadingError, StateLostError
from persistence.postgres.engine import server_message
from persistence.redis.command_stream import CommandStream, LeaseHolder, LeaseStatus
from persistence.redis.integrity import IntegrityCheck

log = structlog.get_logger()

PAUSE_S_MIN: Final = 0.1
PAUSE_S_MAX: Final = 2.0
"""Pauses between attempts while a server is away."""

LOST_PAUSE_S: Final = 1.0
"""How often it is looked whether somebody has rebuilt what Redis had lost."""

YIELD_S: Final = 0.5
"""For how long a free lease is left to the node that should lead."""

LOOK_PAUSE_S: Final = 0.25
"""Between two looks at the lease of one of several partitions: it may be handed over."""

LED_ELSEWHERE: Final = "another daemon leads"

Report = Callable[[str, str], Awaitable[None]]
"""Takes a state and why it is so."""

Pause = Callable[[float], Awaitable[None]]
"""Waits for so many seconds, or until there is no more use in waiting."""


class Leadership:
    """How a supervisor comes to lead, and whether it still does."""

    def __init__(
        self,
        queue: CommandStream,
        memory: IntegrityCheck,
        lease_ms: int,
        turn: Callable[[], Turn] = lambda: Turn.ANY,
    ) -> None:
        """Lead ``queue``, once ``memory`` is found complete; ``turn`` tells when to bid."""
        self._queue = queue
        self._memory = memory
        self._lease_ms = lease_ms
        self._turn = turn
        self._free_since_s: float | None = None
        self.is_verified = False
        """Whether this daemon leads and may write."""
        self.changes = 0
        """How often a supervisor has taken the lead, as far as this Redis knows."""

    async def acquire(self, report: Report, pause: Pause, is_stopping: Callable[[], bool]) -> bool:
        """Wait until this daemon leads and may write; False if it was told to stop before.

        Servers that are away are waited for: commands wait with them.
        """
        away_s = PAUSE_S_MIN
        while not is_stopping():
            try:
                if await self._try(report, pause):
                    return True
                away_s = PAUSE_S_MIN
            except (redis.RedisError, SQLAlchemyError) as error:
                await report("degraded", f"waiting for a server: {server_message(error)}")
                await pause(away_s)
                away_s = min(2 * away_s, PAUSE_S_MAX)
        return False

    async def _try(self, report: Report, pause: Pause) -> bool:
        turn = self._turn()
        if turn is not Turn.ANY and not await self._may_bid(turn):
            await report("standby", LED_ELSEWHERE)
            await pause(LOOK_PAUSE_S)
            return False
        await self._queue.create_group()
        bid = await self._queue.acquire_lease(self._lease_ms)
        if not bid.epoch:
            await report("standby", LED_ELSEWHERE)
            await pause(min(bid.wait_ms, self._lease_ms) / 1000 + 0.02)
            return False
        self._free_since_s = None
        self.is_verified = bid.is_state_verified or await self._verify_state(report, pause)
        if self.is_verified:
            self.changes = await self._queue.count_lead()
            log.info("supervisor.leading", epoch=self._queue.epoch)
        return self.is_verified

    async def _may_bid(self, turn: Turn) -> bool:
        """Whether the lease is free, and if another node should lead, has been so for a while.

        A lease that an earlier supervisor of this daemon holds is taken on at once.
        """
        holder = await self._queue.lease_holder()
        if holder is not LeaseHolder.NOBODY:
            self._free_since_s = None
            return holder is LeaseHolder.THIS
        now_s = time.monotonic()
        since_s = self._free_since_s = self._free_since_s or now_s
        return turn is Turn.FIRST or now_s - since_s >= YIELD_S

    async def _verify_state(self, report: Report, pause: Pause) -> bool:
        """Compare both servers' knowledge; without leading, while Redis knows less."""
        try:
            return await self._queue.confirm_integrity(await self._memory.compare())
        except StateLostError as error:
            await self._queue.resign()
            await report("lost", str(error))
            await pause(LOST_PAUSE_S)
            return False

    async def renew(self) -> None:
        """Hold on to the lease.

        Raises:
            NotLeadingError: another daemon leads, or Redis was restarted: begin again.
        """
        epoch = self._queue.epoch
        if not epoch:
            return
        tenure = await self._queue.renew_lease(self._lease_ms)
        if self._queue.epoch != epoch:  # this daemon itself bid again or resigned meanwhile
            return
        if tenure is LeaseStatus.LOST:
            raise NotLeadingError("another daemon has taken over")
        if tenure is LeaseStatus.UNVERIFIED and self.is_verified:
            raise NotLeadingError("Redis or Postgres has to be compared with the other again")
