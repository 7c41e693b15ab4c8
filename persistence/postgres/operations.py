"""What operators did, the newest first, each with what became of its command."""

from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, cast, extract, select, true

from persistence.postgres.convert import check_texts, integers
from persistence.postgres.pages import Conditions, PagePosition, comes_after
from persistence.postgres.rows import OperationRow
from persistence.postgres.tables import command_journal, operations

COMMAND: Final = "command"
COMMAND_ID: Final = "id"
USER_ID: Final = "user_id"
WHY: Final = "why"
"""Names in ``details`` of an operation: the command that was sent for it, its id, whose account
it is about, and why it was done in the operator's words."""

_BEFORE_MS: Final = 60_000
_AFTER_MS: Final = 86_400_000
"""A command is looked for in the journal from so long before its operation was recorded, since
clocks differ, until so long after: no longer is it known for certain that the id is remembered."""

_operations = operations.c
_journal = command_journal.c


class OperationFilter(NamedTuple):
    """Which operations are wanted; what is left out does not matter."""

    subject: str | None = None
    done_by: str | None = None


class PastOperation(NamedTuple):
    """An operation, with the outcome and entry of its command where the journal has it."""

    operation: OperationRow
    outcome: str | None
    entry: str | None


def operations_page(
    connection: Connection,
    wanted: OperationFilter,
    limit: int,
    after: PagePosition | None = None,
) -> list[PastOperation]:
    """Give the operations that come after a place, the newest first.

    Raises:
        ValueError: A text or moment that PostgreSQL can't hold.
    """
    rows = connection.execute(operations_page_query(wanted, limit, after))
    return [PastOperation(OperationRow._make(integers(row[:-2])), *row[-2:]) for row in rows]


def operations_page_query(
    wanted: OperationFilter, limit: int, after: PagePosition | None = None
) -> Select[Any]:
    """Give the statement, so that a test can see its plan."""
    check_texts(wanted)
    named = ((_operations.subject, wanted.subject), (_operations.done_by, wanted.done_by))
    conditions: Conditions = [column == name for column, name in named if name is not None]
    if after is not None:
        conditions.append(comes_after(_operations.at, _operations.operation_id, after))
    newest_first = (_operations.at.desc(), _operations.operation_id.desc())
    page = select(operations).where(*conditions).order_by(*newest_first).limit(limit).cte("page")
    found = _command_of(page.c)
    return (
        select(page, found.c.outcome, found.c.stream_id)
        .select_from(page.outerjoin(found, true()))
        .order_by(page.c.at.desc(), page.c.operation_id.desc())
    )


def find_operation(connection: Connection, operation_id: str) -> OperationRow | None:
    """Give one operation by its id; None if it is not recorded, or not yet."""
    query = select(operations).where(_operations.operation_id == operation_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else OperationRow._make(integers(row))


def _command_of(operation: Any) -> Any:
    """The first row of the journal that has the operation's command, by the user's index."""
    details = operation.details
    recorded_ms: ColumnElement[int] = cast(extract("epoch", operation.at) * 1000, BigInteger)
    return (
        select(_journal.outcome, _journal.stream_id)
        .where(
            _journal.user_id == details[USER_ID].astext,
            _journal.at_ms.between(recorded_ms - _BEFORE_MS, recorded_ms + _AFTER_MS),
            _journal.fields["id"].astext == details[COMMAND_ID].astext,
            _journal.fields.contains(details[COMMAND]),
        )
        .order_by(_journal.at_ms, _journal.at_seq)
        .limit(1)
        .lateral()
    )
