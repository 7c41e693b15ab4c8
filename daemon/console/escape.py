"""Text of anybody as text that can't drive a terminal."""


def printable(text: str) -> str:
    r"""Return the text with every character escaped that is not plainly shown.

    Control characters (ESC, BEL, C1, line ends), those that turn the direction of writing, and
    bytes that were no UTF-8 come out as ``\x1b`` or ``\u202e``. Text that is printable stays.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """Return the same of a text of several lines: its line ends stay."""
    return "\n".join(map(printable, text.split("\n")))
