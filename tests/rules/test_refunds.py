"""Credits given back for ended chats: at most the cost, in any number of parts."""

from hypothesis import given
from hypothesis import strategies as st

from meterd.rules import outcomes
from meterd.rules.billing import available
from meterd.rules.commands import Command, parse_entry
from meterd.rules.fold import Decision, apply
from meterd.rules.model import Account, Chat, Policy
from tests.rules.strategies import T0, as_sent, flat

micro = st.integers(1, 12)


@given(st.integers(0, 20), st.integers(0, 20), st.lists(micro, max_size=8))
def test_refunds_never_exceed_the_cost_in_all(
    charged: int, carried: int, amounts: list[int]
) -> None:
    """Each is taken while the sum allows it, to the last micro-credit, and no more."""
    chat, account = _ended(charged, carried), Account("u")
    for number, amount in enumerate(amounts):
        fits = chat.refunded_micro + amount <= charged + carried
        decision = _refund(account, chat, amount, number)
        assert decision.outcome == (outcomes.OK if fits else outcomes.EXCEEDS_COST)
        assert [(e.kind, e.amount_micro, e.chat_id) for e in decision.ledger] == (
            [("refund", amount, "c")] if fits else []
        )
        assert available(decision.account, T0 + 9) == available(account, T0 + 9) + amount * fits
        changed = decision.touched.get("c", chat)
        assert changed.refunded_micro == chat.refunded_micro + amount * fits
        assert changed.seq == chat.seq + fits
        assert [(e.event, e.seq) for e in decision.events] == (
            [("chat.refunded", changed.seq)] if fits else []
        )
        chat, account = changed, decision.account


@given(st.lists(st.tuples(st.sampled_from("abde"), micro), max_size=4), micro)
def test_a_refund_resumes_suspended_chats_as_a_top_up_does(
    waiting: list[tuple[str, int]], amount: int
) -> None:
    """In order of ``chat_id``, each if its next millisecond can then be paid."""
    chats = {
        name: _ended(0, 0)._replace(
            chat_id=name,
            status="suspended",
            ended_at_ms=None,
            end_reason=None,
            rate_micro=rate * 60_000,
        )
        for name, rate in waiting
    }
    decision = _refund(Account("u", chats=chats), _ended(12, 0), amount, 0)
    left, resumed = amount, []
    for name, chat in sorted(chats.items()):
        if chat.rate_micro // 60_000 <= left:
            left -= chat.rate_micro // 60_000
            resumed.append(name)
    assert [e.chat_id for e in decision.events if e.event == "chat.resumed"] == resumed


def _ended(charged: int, carried: int) -> Chat:
    return Chat(
        "c", "u", "v", "ended", T0, T0, T0, T0, 60_000, 0, 0, 1, 0,
        owed_rate_ms=charged * 60_000 + 59_999, carried_cost_micro=carried,
        ended_at_ms=T0, end_reason="ended", seq=2,
    )  # fmt: skip


def _refund(account: Account, chat: Chat, amount: int, number: int) -> Decision:
    fields = {"type": "refund", "id": f"r{number}", "chat_id": "c", "amount": as_sent(amount)}
    command = parse_entry(f"{T0 + 9}-{number}", flat(fields))
    assert isinstance(command, Command)
    return apply(account, command._replace(user_id="u"), Policy(warn_ms=()), known=chat)
