"""Ray's own files: a folder with a short path (sockets lie in it), and never left behind.

Ray makes its folder and those in it writable for everybody, without a sticky bit. Ours around it
lets nobody else in.
"""

import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "meterd-ray-"
_NOTE = "ray_folder"
_INNER = "r"


def new_ray_folder(home: Path) -> str:
    """An empty folder for one engine; that of an engine that was killed goes.

    Its path is kept in METERD_HOME: the holder of the home's lock may clean up after the last one.
    """
    remove_ray_folder(home)
    folder = tempfile.mkdtemp(prefix=_PREFIX)
    (home / _NOTE).write_text(folder)
    return str(Path(folder) / _INNER)


def remove_ray_folder(home: Path) -> None:
    """Remove the folder of the last engine, if there is one."""
    note = home / _NOTE
    if note.exists():
        _remove(Path(note.read_text()))
        note.unlink()


def _remove(folder: Path) -> None:
    """Remove a folder that we made; a changed note must not remove anything else."""
    is_ours = folder.name.startswith(_PREFIX) and folder.parent == Path(tempfile.gettempdir())
    if is_ours and folder.is_dir() and folder.stat().st_uid == os.geteuid():
        shutil.rmtree(folder, ignore_errors=True)
