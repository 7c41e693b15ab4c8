"""``meterd db``."""

import typer

from daemon.console.common import (
    ConfigOption,
    JsonOption,
    fail,
    postgres_or_exit,
    postgres_url_or_exit,
    print_json,
    print_line,
    settings_or_exit,
)
from daemon.logging.masking import mask_credentials

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

    url = postgres_url_or_exit(settings_or_exit(config))
    try:
        with postgres_or_exit(url):
            before, after = migrate.current_revision(url), migrate.upgrade(url)
    except SchemaError as error:
        raise fail(str(error)) from None
    if json:
        print_json({"from": before, "to": after, "changed": before != after})
    elif before == after:
        print_line(f"nothing to be done: the tables are at {after} ({mask_credentials(url)})")
    else:
        print_line(f"upgraded: {before or 'empty'} → {after} ({mask_credentials(url)})")
