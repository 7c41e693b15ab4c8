"""How the clock reads its stream, and how it knows the queue's time, in the browser."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import JSHandle, Page

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.acceptance, pytest.mark.timeout(180)]

TEXT = st.text(st.characters(exclude_characters="\r\n\x00", exclude_categories=["Cs"]), max_size=20)
MESSAGES = st.lists(st.tuples(st.text("abc.", min_size=1, max_size=8), TEXT), max_size=4)
ENDS = st.sampled_from(("\n", "\r\n", "\r"))
MS = st.integers(0, 100_000)
ANSWERS = st.lists(
    st.tuples(st.integers(0, 60_000), st.integers(0, 3_000), st.integers(0, 3_000)),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="package")
def stream(blank: Page) -> JSHandle:
    """The module that reads streams."""
    return blank.evaluate_handle("import('/static/meterd-stream.js')")


@pytest.fixture(scope="package")
def clocks(blank: Page) -> JSHandle:
    """The module that knows the queue's time."""
    return blank.evaluate_handle("import('/static/meterd-time.js')")


@given(MESSAGES, ENDS, st.lists(st.integers(0, 400)))
def test_messages_are_the_same_however_they_are_cut(
    stream: JSHandle, messages: list[tuple[str, str]], end: str, cuts: list[int]
) -> None:
    """Networks cut a stream anywhere, even between two bytes of a line's end."""
    text = "".join(
        f":{end}{end}event: {event}{end}id: {number}-0{end}data: {json.dumps(data)}{end}{end}"
        for number, (event, data) in enumerate(messages)
    )
    at = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    chunks = [text[a:b] for a, b in itertools.pairwise(at)]
    script = """(module, chunks) => {
      const messages = new module.Messages();
      return [...chunks, "\\n"].flatMap((chunk) => messages.push(chunk));
    }"""
    found = stream.evaluate(script, chunks)
    expected = [
        {"event": event, "id": f"{number}-0", "data": data}
        for number, (event, data) in enumerate(messages)
    ]
    assert found == expected


@given(ANSWERS, st.integers(0, 2**41), st.integers(-(10**10), 10**10))
def test_the_queues_time_is_known_as_well_as_the_best_answer_allows(
    clocks: JSHandle, answers: list[tuple[int, int, int]], queue_ms: int, wrong_ms: int
) -> None:
    """However wrong the local clock is: never further off than half the quickest round trip."""
    script = """(module, { answers, queue, wrong }) => {
      let steady = 0;
      const clock = new module.QueueClock(() => steady, () => steady + queue + wrong);
      for (const [pause, there, back] of answers) {
        steady += pause;
        const askedAt = steady;
        steady += there;
        const now = steady + queue;
        steady += back;
        clock.learn(now, askedAt);
        clock.look();
      }
      return [clock.now() - (steady + queue), clock.uncertainMs, clock.sleeps];
    }"""
    asked = {"answers": answers, "queue": queue_ms, "wrong": wrong_ms}
    off_ms, uncertain_ms, sleeps = clocks.evaluate(script, asked)
    best_ms = min(there + back for _, there, back in answers)
    since_ms = sum(sum(answer) for answer in answers)
    assert abs(off_ms) <= best_ms / 2 + 2 + since_ms / 10_000
    assert abs(off_ms) <= uncertain_ms + 1
    assert sleeps == 0


@given(MS, st.integers(2_000, 10**9), MS)
def test_a_sleep_is_noticed_and_measured_again(
    clocks: JSHandle, before_ms: int, slept_ms: int, after_ms: int
) -> None:
    """performance.now() stood still meanwhile; the next answer puts the clock right, at once."""
    script = """(module, { before, slept, after }) => {
      let steady = 0, queue = 10 ** 12;
      const clock = new module.QueueClock(() => steady, () => steady + queue + 77);
      const ask = () => clock.learn(steady + queue, steady);
      ask();
      steady += before;
      clock.look();
      queue += slept;
      clock.look();
      const sleeps = clock.sleeps;
      clock.assumeSlept();
      const assumed = clock.now() - (steady + queue);
      steady += after;
      ask();
      return [sleeps, assumed, clock.now() - (steady + queue)];
    }"""
    asked = {"before": before_ms, "slept": slept_ms, "after": after_ms}
    sleeps, assumed_ms, off_ms = clocks.evaluate(script, asked)
    assert sleeps == 1
    assert abs(assumed_ms) <= 1 + before_ms / 10_000
    assert abs(off_ms) <= 1 + after_ms / 10_000
