import os
import time
from typing import TypeVar
from uuid import uuid4

import httpx
from meterd_http import AuthenticatedClient
from meterd_http.api.commands import post_command
from meterd_http.api.events import read_events
from meterd_http.api.usage import read_usage
from meterd_http.models import (
    EndCommandWithId,
    EventPage,
    ReadUsageBy,
    Replies,
    ReplyResult,
    StartCommandWithId,
    TopUpCommandWithId,
    UsageLine,
    UsagePage,
)

Document = TypeVar("Document")

meterd = AuthenticatedClient(
    base_url=os.environ.get("METERD_URL", "http://127.0.0.1:8080"),
    token=os.environ["METERD_TOKEN"],
    timeout=httpx.Timeout(60),  # longer than any answer waits
)


def document(kind: type[Document], answer: object) -> Document:
    """The document, or the problem as an error."""
    if not isinstance(answer, kind):
        raise RuntimeError(answer)
    return answer


def usage(user_id: str) -> UsageLine | None:
    answer = read_usage.sync(client=meterd, by=ReadUsageBy.USER, user_id=user_id)
    lines = document(UsagePage, answer).usage
    return lines[0] if lines else None


user_id, chat_id = str(uuid4()), str(uuid4())
after = document(EventPage, read_events.sync(client=meterd)).next_

answer = post_command.sync(
    client=meterd,
    body=[
        TopUpCommandWithId("top_up", f"{chat_id}-1", user_id, "10"),
        StartCommandWithId("start", f"{chat_id}-2", chat_id, user_id, "bob", rate="1.50"),
        EndCommandWithId("end", f"{chat_id}-3", chat_id),
    ],
)
for result in document(Replies, answer).results:
    document(ReplyResult, result)

ended = False
while not ended:
    page = document(
        EventPage,
        read_events.sync(client=meterd, after=after, user_id=user_id, wait_ms=30_000),
    )
    for event in page.events:
        print(event.at, event.event)
    ended = any(event.event == "chat.ended" for event in page.events)
    after = page.next_  # kept with what the events have changed

while (line := usage(user_id)) is None or line.chats != 1:
    time.sleep(0.1)  # records follow within a second
print(user_id, line.active_ms, line.cost)
