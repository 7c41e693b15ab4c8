"""Rich's console for what is drawn again and again: screens and progress bars.

Nothing in a text is markup, and what would drive the terminal is escaped on its way out, whatever
was handed in. Rich's own control sequences are no text and stay.
"""

from collections.abc import Iterable
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from daemon.console.escape import printable_lines


class SafeConsole(Console):
    """A console that prints text as text."""

    def __init__(self, **where: Any) -> None:
        """Print to the output; ``where`` names another place, as Rich does."""
        super().__init__(markup=False, emoji=False, highlight=False, **where)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as Rich does, with the text escaped."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable_lines(text), style, control)


out: Final = SafeConsole()
err: Final = SafeConsole(stderr=True)
