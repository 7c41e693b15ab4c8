"""``meterd config``: which settings apply, whether they are valid, and an example."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.console.common import (
    EXIT_FAILED,
    ConfigOption,
    JsonOption,
    fail,
    print_file,
    print_json,
    print_line,
    print_table,
    table,
)
from daemon.errors import ResourceNotFoundError, SettingsError
from daemon.logging.masking import MASK, mask_credentials

if TYPE_CHECKING:
    from daemon.settings.settings import LoadedSettings

app = typer.Typer(
    help="Show the settings, check them, or print an example.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def show(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show every setting, its value and where it comes from.

    The place is `default`, a file with its line, or the name of an environment
    variable. Secrets and passwords are masked.

    For example:

      meterd config show

      meterd config show --json | jq '.[] | select(.place != "default")'
    """
    rows = _rows(_load_or_exit(config))
    if json:
        print_json(rows)
        return
    shown = table("", "setting", "value", "place")
    for row in rows:
        shown.add_row(row["setting"], _text(row["value"]), row["place"])
    print_table(shown)


@app.command()
def check(config: ConfigOption = None) -> None:
    """Check the settings: exit 0 if they are valid, 1 if not.

    Each unknown or wrong setting is named with its place. Nothing is started and
    nothing is changed.

    For example:

      meterd config check --config /etc/meterd/config.yaml
    """
    loaded = _load_or_exit(config)
    count = len(loaded.sources)
    print_line(f"The settings are valid: {count} set, the others are defaults.")
    print_line(f"Data are in {loaded.settings.home} ({loaded.home_source}).")


@app.command()
def example(
    name: Annotated[
        str,
        typer.Argument(metavar="[NAME]", help="config.yaml, or a file for deploying (see --list)."),
    ] = "config.yaml",
    list_names: Annotated[
        bool, typer.Option("--list", help="Print the names of all files there are.")
    ] = False,
) -> None:
    """Print a file that comes with meterd: the commented settings, or one for deploying.

    For example:

      meterd config example > config.yaml

      meterd config example --list

      meterd config example deploy/meterd.service
    """
    from daemon.resources import names, read  # noqa: PLC0415 - the help need not wait for it

    if list_names:
        for one in names():
            print_line(one)
        return
    try:
        print_file(read(name))
    except ResourceNotFoundError as error:
        raise fail(str(error)) from None


def _load_or_exit(config: ConfigOption) -> "LoadedSettings":
    from daemon.settings.settings import load_all  # noqa: PLC0415 - as above

    try:
        return load_all(config)
    except SettingsError as error:
        raise fail(f"These settings are not valid:\n{error}", EXIT_FAILED) from None


def _rows(loaded: "LoadedSettings") -> list[dict[str, Any]]:
    """Each setting in the order of the example file, METERD_HOME last."""
    document = loaded.settings.model_dump(mode="json", exclude={"home"})
    values = {
        (section, *key): value
        for section, keys in document.items()
        for key, value in (
            (((name,), one) for name, one in keys.items())
            if isinstance(keys, dict)
            else [((), keys)]
        )
    }
    rows = [
        {
            "setting": ".".join(path),
            "value": _masked(path[-1], value),
            "place": loaded.sources.get(path, "default"),
        }
        for path, value in values.items()
    ]
    home = {
        "setting": "METERD_HOME",
        "value": str(loaded.settings.home),
        "place": loaded.home_source,
    }
    return [*rows, home]


def _masked(key: str, value: Any) -> Any:
    if key == "jwt_secret" and value is not None:
        return MASK
    if isinstance(value, list):
        return [_masked(key, one) for one in value]
    return mask_credentials(value) if isinstance(value, str) else value


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
