"""Which partition of the queue a command of ``meterd`` is about."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.console.common import EXIT_USAGE, fail
from meterd.rules.commands import is_identifier
from meterd.rules.partitions import partition_of
from meterd.rules.redis_keys import Keys

if TYPE_CHECKING:
    from persistence.redis.client import RedisClients

PartitionOption = Annotated[
    int | None,
    typer.Option(
        "--partition", min=0, metavar="NUMBER", help="Of which partition, where there are several."
    ),
]


def keys_or_exit(clients: "RedisClients", number: int | None) -> Keys:
    """The keys of the partition that is meant; fails where that is not clear."""
    from persistence.redis.layout import read_partitions  # noqa: PLC0415 - the help need not wait

    partitions = read_partitions(clients)
    if number is None and partitions > 1:
        raise fail(
            f"The queue has {partitions} partitions; say which one: "
            f"--partition 0 to {partitions - 1}\n"
            "See how each one is with: meterd status",
            EXIT_USAGE,
        )
    if number is not None and number >= partitions:
        raise fail(
            f"There is no partition {number}: the first is 0, the last {partitions - 1}", EXIT_USAGE
        )
    return Keys(number or 0)


def find_place(clients: "RedisClients", fields: dict[str, str]) -> tuple[Keys, Sequence[str]]:
    """Where a command belongs, and what has to be added to it: whose it is.

    With several partitions each command names its user; of a chat, Redis knows whose it is from
    its start until a day after its end. Fails where that is not known.
    """
    from persistence.redis.layout import read_partitions  # noqa: PLC0415 - as above

    partitions, user, added = read_partitions(clients), fields.get("user_id", ""), list[str]()
    if partitions == 1:
        return Keys(), added
    if not user and is_identifier(fields.get("chat_id", "")):
        user = _owner(clients, fields["chat_id"], partitions)
        added = ["user_id", user]
    if not is_identifier(user):  # it is invalid, and the daemon says why
        return Keys(), []
    return Keys(partition_of(user, partitions)), added


def _owner(clients: "RedisClients", chat_id: str, partitions: int) -> str:
    found: list[Any] = []
    for client, numbers in clients.groups(partitions):
        pipeline = client.pipeline(transaction=False)
        for number in numbers:
            pipeline.get(Keys(number).chat(chat_id))
        found += filter(None, pipeline.execute())
    if not found:
        raise fail(
            f"Nothing was sent. No partition knows the chat {chat_id}: if it has ended more than a "
            "day ago, say whose it is: user_id=…"
        )
    return str(json.loads(found[0])["user_id"])
