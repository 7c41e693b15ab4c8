"""What a reply says to a person, also to one who sends an id again."""

import pytest

from actors.chat.replies import reply_message
from meterd.rules import outcomes
from meterd.rules.idempotency import IdempotencyRecord
from meterd.rules.outcomes import MESSAGES, Outcome

ENTRY = "1700000000123-4"


@pytest.mark.parametrize("outcome", MESSAGES)
def test_a_first_answer_is_the_outcomes_sentence(outcome: Outcome) -> None:
    """Whatever the outcome."""
    assert reply_message("pause", outcome, None) == MESSAGES[outcome]


@pytest.mark.parametrize("outcome", [o for o in MESSAGES if o != outcomes.OK])
def test_a_repeated_refusal_says_from_when_it_is_and_what_a_new_try_needs(outcome: Outcome) -> None:
    """The account may have credits by now: the answer is still the first one."""
    said = reply_message("pause", outcome, IdempotencyRecord("f", outcome, ENTRY))
    assert said.startswith(MESSAGES[outcome])
    assert "first answer to this id, of 2023-11-14T22:13:20.123Z;" in said
    assert "a new try needs a new id" in said


def test_of_an_id_that_version_0_1_remembered_the_time_is_not_known() -> None:
    """It kept the content and the outcome alone."""
    record = IdempotencyRecord.unpacked("abc insufficient_credits")
    assert record == IdempotencyRecord("abc", "insufficient_credits")
    said = reply_message("top_up", "insufficient_credits", record)
    assert "first answer to this id;" in said


def test_what_is_kept_of_an_id_is_read_back() -> None:
    """With the entry that used it first."""
    record = IdempotencyRecord("abc", "ok", ENTRY)
    assert IdempotencyRecord.unpacked(record.packed()) == record


def test_a_repeated_success_is_a_success() -> None:
    """Nothing is to be tried again."""
    assert reply_message("pause", "ok", IdempotencyRecord("f", "ok", ENTRY)) == MESSAGES["ok"]


CHAT_TYPES = ("start", "adopt", "resume", "heartbeat", "set_rate")


@pytest.mark.parametrize("command_type", CHAT_TYPES)
def test_a_chat_that_can_not_be_paid_is_told_what_counts(command_type: str) -> None:
    """The minimum and a begun increment may be more than the balance that is there."""
    said = reply_message(command_type, outcomes.INSUFFICIENT_CREDITS, None)
    assert "min_ms" in said
    assert "top_up" in said


def test_an_adjust_of_more_than_is_there_is_told_what_fixes_it() -> None:
    """No top_up is meant, but a smaller amount or the flag; when repeated, too."""
    for repeated in (None, IdempotencyRecord("f", "insufficient_credits", ENTRY)):
        said = reply_message("adjust", "insufficient_credits", repeated)
        assert "adjust by less, or send partial=1" in said
        assert "top_up" not in said
