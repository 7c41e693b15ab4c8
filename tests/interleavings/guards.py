"""Each guard of the library, what is left without it, and how many plays it takes to notice.

``python -m tests.interleavings.guards`` prints the table.
"""

from typing import Final

from persistence.redis.functions import source
from tests.interleavings.library_text import Guard, without
from tests.interleavings.play_runner import PlayRunner, play_runner, why

SEEDS_MAX: Final = 300

_STALE = "  if (string.match(head, '^([^|]*)|') or '') ~= before then return STALE end"
_LEADER = "  if redis.call('GET', prefix .. 'leader') ~= token then return 0 end\n"
_EPOCH = "  if redis.call('HGET', prefix .. 'epochs', SUPERVISOR) ~= epoch then return 0 end\n"
_HELD = "  if holder and holder ~= token then return 0 end\n"

GUARDS: Final[dict[str, tuple[Guard, ...]]] = {
    "verified": (Guard("allowed", "  if not is_verified(prefix) then return false end"),),
    "epoch": (
        Guard("allowed", "redis.call('HGET', prefix .. 'epochs', actor) == epoch", "true"),
    ),
    "stale": (Guard("account_guards", _STALE),),
    "known": (Guard("commit_guards", "  if known then return known end"),),
    "exists": (Guard("taken_guards", "return {'exists', chat[1]}"),),
    "done": (Guard("nobody_guards", "return DONE"),),
    "commit: fence": (
        Guard("commit_all", "allowed(prefix, args[1], args[2])", "true"),
    ),
    "commit: XACK": (
        Guard("write", "  together({'XACK', batch.commands, 'meterd'}, batch.acks)\n"),
    ),
    "settle": (
        Guard("settle", "  if string.match(head, '^([^|]*)|') ~= before then return -1 end"),
    ),
    "settle: fence": (Guard("settle", "if not allowed(prefix, actor, epoch)", "if false"),),
    "settle: hold": (
        Guard("settle", "if redis.call('EXISTS', prefix .. 'hold') == 1", "if false"),
    ),
    "settle: due": (Guard("settle", "  if wait_ms > 0 then return wait_ms end"),),
    "read: fence": (
        Guard("read", "if not allowed(prefix, SUPERVISOR, epoch)", "if false"),
    ),
    "read: claim": (
        Guard("read", "claim_strangers(prefix, keys[1], waiting[4] or {})", "0"),
    ),
    "late: fence": (Guard("late", "if not allowed(prefix, args[1], args[2])", "if false"),),
    "issue_epoch: fence": (
        Guard("issue_epoch", "if not allowed(prefix, SUPERVISOR, leader_epoch)", "if false"),
    ),
    "trim: fence": (
        Guard("trim", "if not allowed(prefix_of(keys[1]), SUPERVISOR, args[1])", "if false"),
    ),
    "ack_outbox: fence": (
        Guard("ack_outbox", "if not allowed(prefix, d.actor, d.epoch)", "if false"),
    ),
    "acquire_lease: holder": (Guard("acquire_lease", "if holder and holder ~= token", "if false"),),
    "acquire_lease: older epochs": (
        Guard("acquire_lease", "  redis.call('DEL', prefix .. 'epochs')\n"),
    ),
    "confirm_integrity: leader and epoch": (
        Guard("confirm_integrity", _LEADER),
        Guard("confirm_integrity", _EPOCH),
    ),
    "confirm_integrity: memory": (
        Guard("confirm_integrity", "  if held and held ~= instance then return 0 end\n"),
    ),
    "renew_lease: epoch and holder": (Guard("renew_lease", _EPOCH), Guard("renew_lease", _HELD)),
    "resign: leader": (Guard("resign", _LEADER),),
    "resign: epochs": (Guard("resign", ", prefix .. 'epochs')", ")"),),
    "resolve_dead_letter: twice": (
        Guard(
            "resolve_dead_letter",
            "if redis.call('XDEL', prefix .. 'dead', d.letter) == 0",
            "if false",
        ),
    ),
    "clear_hold: twice": (
        Guard("clear_hold", "if redis.call('DEL', prefix .. 'hold') == 0", "if false"),
    ),
    "opened": (
        Guard("open_accounts", "if taken[user] or is_used or seen ~= o[EXPECTED]", "if false"),
    ),
    "opened: memory": (Guard("open_accounts", "is_verified(prefix) and led_last(prefix)", "true"),),
}  # fmt: skip


CARELESS: Final = ("exists",)
"""Not needed as long as the dispatcher lets nobody else work on a chat: noticed when it does."""


def plays_needed(
    play_runner: PlayRunner, name: str, most: int = SEEDS_MAX
) -> tuple[int, str] | None:
    """How many plays there were without the guard until one failed, and how; None: none did."""
    play_runner.load(without(source(), GUARDS[name]))
    give = play_runner.play_carelessly if name in CARELESS else play_runner.play
    for seed in range(most):
        try:
            give(seed)
        except Exception as error:
            return seed + 1, why(error)
    return None


def table(most: int = SEEDS_MAX) -> str:
    """All guards, as Markdown."""
    lines = ["| guard removed | plays until noticed | as |", "| --- | --- | --- |"]
    with play_runner() as it:
        for name in GUARDS:
            found = plays_needed(it, name, most)
            count, words = found or (f"not in {most}", "")
            lines.append(f"| {name} | {count} | {words} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
