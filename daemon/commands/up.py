"""``meterd up``."""

from typing import TYPE_CHECKING, Any

from daemon.console.common import ConfigOption, fail, print_line, settings_or_exit
from daemon.logging.masking import mask_credentials

if TYPE_CHECKING:
    from daemon.discovery.runfile import Addresses
    from daemon.settings.settings import Settings


def up(config: ConfigOption = None) -> None:
    """Run meterd in the foreground until Ctrl-C or SIGTERM.

    Without redis.url and postgres.url it starts servers of its own, on this machine only, with
    their data in METERD_HOME. Unset, that is ./.meterd where it exists or in a checkout of
    meterd, else meterd in the XDG state folder (~/.local/state).

    For example:

      meterd up

      METERD_REDIS__URL=redis://10.0.0.5/0 METERD_POSTGRES__URL=postgresql://m@db/meterd meterd up
    """
    settings = settings_or_exit(config)
    _prepare_ray(settings)
    # Ray takes seconds to import; no other command should wait for it.
    from daemon.logging.logs import configure_logging  # noqa: PLC0415
    from daemon.process.daemon import STARTING_ERRORS, Daemon  # noqa: PLC0415

    configure_logging(settings.log.level, settings.log.format)
    daemon = Daemon(settings, config)
    try:
        print_line(f"meterd is starting in {settings.home} …")
        daemon.run(StateReport(settings))
    except STARTING_ERRORS as error:
        raise fail(str(error)) from None
    print_line("meterd has stopped.")


def _prepare_ray(settings: "Settings") -> None:
    from daemon.embedded.errors import HomeError  # noqa: PLC0415 - no other command needs them
    from daemon.process.ray_token import set_ray_token  # noqa: PLC0415

    try:
        if settings.ray.address is None:
            set_ray_token(settings.home)
    except HomeError as error:
        raise fail(str(error)) from None


class StateReport:
    """Prints each change of the state; the banner at the first ``ready`` and for new addresses."""

    def __init__(self, settings: "Settings") -> None:
        """Nothing was printed yet."""
        self._settings = settings
        self._announced: Addresses | None = None

    def __call__(self, addresses: "Addresses", status: dict[str, Any]) -> None:
        """Log the state, and print what a person at the terminal should see of it."""
        import structlog  # noqa: PLC0415 - as above

        structlog.get_logger().info("daemon.state", state=status["state"], why=status["why"])
        if status["state"] == "standby":
            print_line("meterd stands by: another daemon works on this Redis.")
        if status["state"] in ("lost", "held"):
            print_line(f"meterd bills nothing: {status['why']}", "red", is_bold=True)
        if status["state"] == "ready" and addresses != self._announced:
            _report_ready(self._settings, addresses, status)
            self._announced = addresses


def _report_ready(settings: "Settings", addresses: "Addresses", status: dict[str, Any]) -> None:
    place = "embedded, data in " + str(settings.home)
    redis = ", ".join(map(mask_credentials, addresses.redis.urls))
    postgres = mask_credentials(addresses.postgres_url)
    actors = f"{len(status['actors'])} of {settings.actors.max} at most"
    lines = [
        f"  redis     {redis}  ({'configured' if settings.redis.all_urls else place})",
        f"  postgres  {postgres}  ({'configured' if settings.postgres.url else place})",
        f"  http      {addresses.http_url or 'none'}  (meterd token ops --role ops --link /)",
        f"  ray       {settings.ray.address or 'a cluster of its own, on this machine'}",
        f"  actors    {actors}, {status['open_chats']} open chats",
        "  try       meterd demo   ·   meterd status   ·   stop with Ctrl-C",
    ]
    print_line("meterd is ready.", "green", is_bold=True)
    for line in lines:
        print_line(line)
