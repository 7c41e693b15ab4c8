"""Backends that send one command after the other while daemons or servers come and go."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from loadtests.common.timeouts import scaled
from meterd import Meter, UnavailableError, UncertainError

PAUSE_S: Final = 0.02
ANSWER_S_MAX: Final = scaled(60)


class Backends:
    """A thread for each user, with a chat and an account; each answer is noted."""

    def __init__(self, redis_url: str, users: Sequence[str], call_s_max: float = 60.0) -> None:
        """Begin to send at once.

        Args:
            redis_url: where the queue is.
            users: whose chats and accounts; the chat of ``u`` is ``chat-u``.
            call_s_max: after so long without an answer a command is sent again, with its id.
        """
        self._url = redis_url
        self._call_s_max = call_s_max
        self._stop = threading.Event()
        self.answered: dict[str, list[float]] = {user: [] for user in users}
        """By user: when each of its commands was answered ``ok``, in seconds."""
        self.errors: list[str] = []
        self._threads = [threading.Thread(target=self._send, args=(user,)) for user in users]
        for thread in self._threads:
            thread.start()

    def _send(self, user: str) -> None:
        """A chat that is paused and resumed, and a top-up with each of these."""
        chat = f"chat-{user}"
        try:
            with Meter(self._url) as meter:
                self._ask(user, meter.top_up, user, "1")
                self._ask(user, meter.start, chat, user, "v", rate="0")
                act = [meter.pause, meter.resume]
                while not self._stop.wait(PAUSE_S):
                    self._ask(user, act[0], chat)
                    act.reverse()
                    self._ask(user, meter.top_up, user, "1")
                self._ask(user, meter.end, chat)
        except Exception as error:
            self.errors.append(f"{user}: {error!r}")
            raise

    def _ask(self, user: str, call: Callable[..., Any], *args: str, **options: str) -> None:
        answers = self.answered[user]
        deadline = time.monotonic() + ANSWER_S_MAX
        while True:
            try:
                call(*args, **options, id=f"{user}.{len(answers)}", timeout_s=self._call_s_max)
                break
            except (UncertainError, UnavailableError):
                if time.monotonic() > deadline:
                    raise
        answers.append(time.monotonic())

    def stop(self) -> None:
        """Let each sender finish."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait(self) -> None:
        """Wait until each sender has had some more answers."""
        wanted = {user: len(times) + 6 for user, times in self.answered.items()}
        deadline = time.monotonic() + ANSWER_S_MAX
        while any(len(self.answered[user]) < least for user, least in wanted.items()):
            assert not self.errors, self.errors
            assert time.monotonic() < deadline, self.answered
            time.sleep(0.05)

    def top_ups(self, user: str) -> int:
        """How many of a user's answered commands were top-ups of one credit.

        All but start and end are a top-up and one more command in turn, after the first.
        """
        return 1 + (len(self.answered[user]) - 3) // 2

    def longest_gap_s(self) -> float:
        """The longest time in which some sender had no answer."""
        return max(
            later - earlier
            for times in self.answered.values()
            for earlier, later in itertools.pairwise(times)
        )
