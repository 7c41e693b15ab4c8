"""``meterd gateway``."""

from typing import Annotated

import typer

from daemon.console.common import (
    ConfigOption,
    addresses_or_exit,
    fail,
    print_line,
    settings_or_exit,
)


def gateway(
    host: Annotated[str | None, typer.Option(help="Where to listen, instead of http.host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port, instead of http.port.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Answer over HTTP, in the foreground until Ctrl-C or SIGTERM.

    Any number of them may run, here or elsewhere: each needs the Redis and the
    PostgreSQL of the daemon, and no daemon. `meterd up` starts one by itself.
    A port that is set is the port: if it is taken, nothing starts. Beyond this
    machine, http.jwt_secret or http.jwks_file has to be set.

    For example:

      meterd gateway --port 8081

      METERD_HTTP__JWKS_FILE=keys.json meterd gateway --host 0.0.0.0
    """
    settings = settings_or_exit(config)
    changes = {k: v for k, v in (("host", host), ("port", port)) if v is not None}
    settings = settings.model_copy(update={"http": settings.http.model_copy(update=changes)})
    addresses = addresses_or_exit(settings)
    if not addresses.postgres_url:
        raise fail("The records are in Postgres, and postgres.url is not configured.")
    # FastAPI takes a second to import; the help need not wait for it.
    from daemon.discovery.layout import check_servers  # noqa: PLC0415
    from daemon.errors import PartitionsError  # noqa: PLC0415
    from daemon.gateway.errors import BindError, KeysError  # noqa: PLC0415
    from daemon.gateway.key_source import keys_of  # noqa: PLC0415
    from daemon.gateway.server import bind, serve, url_of  # noqa: PLC0415
    from daemon.logging.logs import configure_logging  # noqa: PLC0415

    configure_logging(settings.log.level, settings.log.format)
    try:
        keys_of(settings)
        listening = bind(settings.http)
        check_servers(addresses.redis, addresses.postgres_url, settings.partitions)
        print_line(f"The gateway answers at {url_of(listening)}")
        serve(settings, addresses, listening)
    except (PartitionsError, KeysError, BindError) as error:
        raise fail(str(error)) from None
