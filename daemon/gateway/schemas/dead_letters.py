"""The shapes of the entries that were set aside."""

from typing import Annotated, Any

from daemon.gateway.schemas.base import Page, Shape, about


class Letter(Shape):
    """An entry that was set aside."""

    letter: Annotated[str, about("What it is called: operations name it")]
    entry: Annotated[str, about("Where the entry stood in the queue")]
    outcome: Annotated[str, about("`invalid_command` or `internal_error`")]
    reason: Annotated[str, about("What is wrong with it, for a person")]
    fields: Annotated[
        dict[str, Any], about("What was sent; a field that came twice is a list of its values")
    ]


class DeadPage(Page):
    """Entries that were set aside, the newest first."""

    letters: Annotated[list[Letter], about("The entries of this page")]
