"""The next version of meterd, made of this one: another library version beside this one's.

It is a copy of the source with a few lines changed, so both are whole programs that can run side by
side. Whoever starts it puts ``PYTHONPATH`` before what is installed.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from persistence.postgres import migrate
from persistence.redis.versions import VERSION

NEXT: Final = VERSION + 1
NAME: Final = "next"
"""What it says that its version is."""

_ROOT: Final = Path(__file__).parents[2]
_PACKAGES: Final = ("daemon", "actors", "persistence")
_CLIENT: Final = Path("clients") / "python"
_LINKED: Final = ("config.yaml", "deploy")

_MIGRATION: Final = '''"""A release expands the schema, under a daemon that knows nothing of it."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ledger_entries", sa.Column("of_next", sa.Integer, comment="New"))
    op.add_column("command_journal", sa.Column("of_next", sa.Integer, server_default="1"))
    op.create_table("of_next", sa.Column("name", sa.Text, primary_key=True))


def downgrade() -> None:
    op.drop_table("of_next")
    op.drop_column("command_journal", "of_next")
    op.drop_column("ledger_entries", "of_next")
'''


def make_next(folder: Path, *, with_migration: bool) -> str:
    """Write the next version into a folder; returns the ``PYTHONPATH`` that runs it.

    ``with_migration``: its schema has something more than this one's, too.
    """
    ignored = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in _PACKAGES:
        shutil.copytree(_ROOT / name, folder / name, symlinks=True, ignore=ignored)
    shutil.copytree(_ROOT / _CLIENT / "meterd", folder / _CLIENT / "meterd", ignore=ignored)
    for name in _LINKED:
        (folder / name).symlink_to(_ROOT / name)
    _change(folder / "persistence/redis/versions.py", f"= {VERSION}\n", f"= {NEXT}\n")
    _change(folder / "actors/supervisor/supervisor.py", 'metadata.version("meterd")', f'"{NAME}"')
    if with_migration:
        before = migrate.head_revision()
        revision = f"{int(before) + 1:04}"
        text = _MIGRATION.format(revision=revision, before=before)
        (folder / f"persistence/postgres/migrations/versions/{revision}_next.py").write_text(text)
    return os.pathsep.join([str(folder), str(folder / _CLIENT)])


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} in {path}"
    path.write_text(text.replace(old, new))
