"""``meterd db``."""

from typing import TYPE_CHECKING

import typer

from daemon.console.common import (
    ConfigOption,
    JsonOption,
    fail,
    postgres_or_exit,
    print_json,
    settings_or_exit,
)
from daemon.logging.masking import mask_credentials

if TYPE_CHECKING:
    from daemon.settings.settings import Settings

app = typer.Typer(
    help="The tables in Postgres.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def db() -> None:
    """The tables in Postgres."""


@app.command()
def upgrade(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Bring the tables up to date with this meterd.

    In postgres.url if it is set, else in the database of the daemon in
    METERD_HOME. All or nothing; may be run again. meterd up does the same by
    itself.

    For example:

      meterd db upgrade

      METERD_POSTGRES__URL=postgresql://m@db/meterd meterd db upgrade
    """
    # They take long to import; the help need not wait for them.
    from persistence.errors import SchemaError  # noqa: PLC0415
    from persistence.postgres import migrate  # noqa: PLC0415

    url = _url_or_exit(settings_or_exit(config))
    try:
        with postgres_or_exit(url):
            before, after = migrate.current_revision(url), migrate.upgrade(url)
    except SchemaError as error:
        raise fail(str(error)) from None
    if json:
        print_json({"from": before, "to": after, "changed": before != after})
    elif before == after:
        typer.echo(f"nothing to be done: the tables are at {after} ({mask_credentials(url)})")
    else:
        typer.echo(f"upgraded: {before or 'empty'} → {after} ({mask_credentials(url)})")


def _url_or_exit(settings: "Settings") -> str:
    from daemon.discovery.runfile import RunFile  # noqa: PLC0415 - as above

    running = RunFile(settings.home).read()
    url = settings.postgres.url or (running.postgres_url if running else None)
    if not url:
        raise fail(
            f"postgres.url is not configured and no daemon runs in {settings.home}.\n"
            "Set METERD_POSTGRES__URL=postgresql://user:password@host/name, "
            "or start a daemon with: meterd up"
        )
    return url
