"""Tables: lines of aligned columns in a pipe, drawn by Rich in a terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from daemon.console.escape import printable

if TYPE_CHECKING:
    import rich.table

_GAP = "  "


class Cell(NamedTuple):
    """The text of a cell and its colour, as Rich names it."""

    text: str
    colour: str = ""


class Table:
    """A title, columns and rows. What a cell has may be anybody's text: it is escaped here."""

    def __init__(self, title: str, *columns: str, width_max: int | None = None) -> None:
        """No rows yet; in a terminal, a cell is cut at ``width_max`` characters."""
        self.title = printable(title)
        self.columns = tuple(map(printable, columns))
        self.width_max = width_max
        self.rows: list[tuple[Cell, ...]] = []

    def add_row(self, *cells: "str | Cell") -> None:
        """Add a row with a cell for each column."""
        assert len(cells) == len(self.columns), "a row has a cell for each column"
        made = (Cell(cell) if isinstance(cell, str) else cell for cell in cells)
        self.rows.append(tuple(Cell(printable(text), colour) for text, colour in made))

    def lines(self) -> Iterator[str]:
        """Yield the table as plain text, each column wide enough for all its cells."""
        rows = [self.columns, *(tuple(cell.text for cell in row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        if self.title:
            yield self.title
        for row in rows:
            padded = (text.ljust(width) for text, width in zip(row, widths, strict=True))
            yield _GAP.join(padded).rstrip()

    def drawn(self) -> "rich.table.Table":
        """Return the table for a terminal."""
        from rich.table import Table as RichTable  # noqa: PLC0415 - a pipe need not wait for it
        from rich.text import Text  # noqa: PLC0415 - as above

        drawn = RichTable(title=Text(self.title, "bold"), title_justify="left", header_style="bold")
        overflow = "fold" if self.width_max is None else "ellipsis"
        for column in self.columns:
            drawn.add_column(
                Text(column),
                overflow=overflow,  # type: ignore[arg-type] # one of Rich's words
                max_width=self.width_max,
            )
        for row in self.rows:
            drawn.add_row(*(Text(text, colour) for text, colour in row))
        return drawn
