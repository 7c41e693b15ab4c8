"""As little HTTP as a measurement needs: what the client takes, the gateway does not get."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

LENGTH: Final = b"content-length: "


class WrongAnswerError(Exception):
    """A request was not answered as it should be: the figures would mean nothing."""


def get(path: str, token: str) -> bytes:
    """A request, as it is sent."""
    return f"GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


async def ask_on_and_on(
    port: int, requests: Sequence[bytes], connections: int, seconds: float
) -> list[float]:
    """Each connection asks again as soon as it is answered; milliseconds of each answer."""
    end_s = time.perf_counter() + seconds
    took = await asyncio.gather(
        *(_ask(port, requests[i::connections], end_s) for i in range(connections))
    )
    return [ms for one in took for ms in one]


async def ask_steadily(
    port: int, requests: Sequence[bytes], per_s: float, connections: int, seconds: float
) -> list[float]:
    """So many requests a second, whatever becomes of them; milliseconds from when each was due."""
    queue: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
    answering = [asyncio.create_task(_answer(port, queue)) for _ in range(connections)]
    count, began_s = int(per_s * seconds), time.perf_counter()
    for number in range(count):
        due_s = began_s + number / per_s
        while (ahead_s := due_s - time.perf_counter()) > 0:
            await asyncio.sleep(ahead_s)
        queue.put_nowait((due_s, requests[number % len(requests)]))
    for _ in answering:
        queue.put_nowait(None)
    took = await asyncio.gather(*answering)
    return [ms for one in took for ms in one]


async def _ask(port: int, requests: Sequence[bytes], end_s: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took, number = [], 0
    while (began_s := time.perf_counter()) < end_s:
        await _exchange(reader, writer, requests[number % len(requests)])
        took.append((time.perf_counter() - began_s) * 1_000)
        number += 1
    writer.close()
    return took


async def _answer(port: int, queue: "asyncio.Queue[tuple[float, bytes] | None]") -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took = []
    while asked := await queue.get():
        due_s, request = asked
        await _exchange(reader, writer, request)
        took.append((time.perf_counter() - due_s) * 1_000)
    writer.close()
    return took


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> None:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    at = head.index(LENGTH) + len(LENGTH)
    body = await reader.readexactly(int(head[at : head.index(b"\r", at)]))
    if not head.startswith(b"HTTP/1.1 200") or b'"status":"running"' not in body:
        raise WrongAnswerError(body[:300].decode())
