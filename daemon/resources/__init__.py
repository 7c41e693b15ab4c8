"""Files that an operator needs and that come with the installed service.

In the repository `config.yaml` and `deploy` are links to the files at its top. In a wheel and in
an sdist they are copies, so that an installed service can print them.
"""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from daemon.errors import ResourceNotFoundError

CONFIG = "config.yaml"


def names() -> list[str]:
    """The name of each resource, sorted: `config.yaml`, `deploy/meterd.service` and so on."""
    folder = files(__name__)
    return sorted([CONFIG, *_below(folder / "deploy", "deploy/")])


def read(name: str) -> str:
    """The text of one resource.

    Args:
        name: One of `names()`.

    Raises:
        ResourceNotFoundError: No resource has this name.
    """
    known = names()
    if name not in known:
        raise ResourceNotFoundError(f"no resource {name!r}; there are: {', '.join(known)}")
    return (files(__name__) / name).read_text("utf-8")


def _below(folder: Traversable, prefix: str) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}"
