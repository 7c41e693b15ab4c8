"""The options of a run: for Locust's command line, for the runner's, and as variables."""

import argparse
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from loadtests.load.command_mix import MIXES, Mix, MixError, mix_of
from loadtests.load.load_profiles import PROFILES

THRESHOLDS: Final = Path(__file__).parents[1] / "thresholds.yaml"
AUDITS: Final = ("run", "all", "none")
CLOSED: Final = "closed"
OPEN: Final = "open"
LOOPS: Final = (CLOSED, OPEN)
PREFIX: Final = "METERD_LOAD_"

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION: Final = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)([smh]?)")


class OptionsError(Exception):
    """Options that can't be together; the message names them and the fix."""


class Option(NamedTuple):
    """One option; its variable is METERD_LOAD_ and its name in capitals."""

    name: str
    default: Any
    help: str
    of: Callable[[str], Any] = str
    """Makes the value of a text, or raises ArgumentTypeError."""

    @property
    def flag(self) -> str:
        """As it is typed."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """As it is named in the environment."""
        return PREFIX + self.name.upper()


def duration_s(text: str) -> float:
    """Seconds of 90, 90s, 2m or 1h."""
    found = _DURATION.fullmatch(text)
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration above 0 such as 90s, 2m or 1h")
    return float(found[1]) * _UNITS_S[found[2]]


def _mix(text: str) -> str:
    try:
        mix_of(text)
    except MixError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return number


def _one_of(*names: str) -> Callable[[str], str]:
    def one(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(names)}")
        return text

    return one


OPTIONS: Final = (
    Option("redis_url", "", "Redis of the daemon; without it one is started (locust alone takes "
           "that of METERD_HOME)"),
    Option("postgres_url", "", "Postgres of the daemon, for the audit; without it, as above"),
    Option("mix", "typical", f"what is sent: {', '.join(MIXES)}, or weights: heartbeat=7,switch=3",
           _mix),
    Option("shape", "steady", f"how the load moves while it is measured: {', '.join(PROFILES)}",
           _one_of(*PROFILES)),
    Option("duration", 120.0, "how long it is measured: 90s, 2m, 1h", duration_s),
    Option("rate", 300, "commands a second; 0: as fast as it goes", _number(0, 1_000_000)),
    Option("loop", CLOSED, "closed: a backend whose commands all wait sends later; open: --rate is "
           "held whether or not replies come, and latency counts from the planned moment",
           _one_of(*LOOPS)),
    Option("in_flight", 64, "commands that wait for replies at once, at most; of each backend",
           _number(1, 4_000)),
    Option("chats", 10_000, "chats kept open", _number(1, 1_000_000)),
    Option("chats_per_account", 5, "chats of one user at once", _number(1, 1_000)),
    Option("accounts", 0, "users; 0: as many as that makes", _number(0, 1_000_000)),
    Option("start_rate", 500, "commands a second while chats are being opened, before it is "
           "measured; 0: as fast as it goes", _number(0, 1_000_000)),
    Option("backends", 1, "Locust users that are backends; they share chats, rate and accounts",
           _number(1, 1_000)),
    Option("generators", 1, "Locust processes that share all of this (not by locust alone)",
           _number(1, 64)),
    Option("barrier", "", "folder where generators wait for each other; set for each of several"),
    Option("frontends", 1, "Locust users that are frontends", _number(0, 1_000)),
    Option("reads", 20, "snapshots read by all frontends a second", _number(1, 100_000)),
    Option("notices", 5, "chats that go idle or run out of credits a second, to see how late that "
           "is noticed; their commands come on top of --rate", _number(0, 1_000)),
    Option("leave_open", "no", "leave the chats open afterwards: no or yes",
           _one_of("no", "yes")),
    Option("drain", 120.0, "how long commands and records may take to be worked off afterwards",
           duration_s),
    Option("audit", "run", "what is audited afterwards: users since the run began, all, or none",
           _one_of(*AUDITS)),
    Option("thresholds", str(THRESHOLDS), "YAML file of what has to be reached"),
    Option("figures", "", "write all figures to this JSON file; the runner has its own"),
    Option("seed", 1, "the same seed draws the same commands", _number(0, 2**31)),
)  # fmt: skip


class LoadOptions(NamedTuple):
    """What a run is asked for."""

    redis_url: str
    postgres_url: str
    mix: str
    shape: str
    duration: float
    rate: int
    loop: str
    in_flight: int
    chats: int
    chats_per_account: int
    accounts: int
    start_rate: int
    backends: int
    generators: int
    barrier: str
    frontends: int
    reads: int
    notices: int
    leave_open: str
    drain: float
    audit: str
    thresholds: str
    figures: str
    seed: int

    @property
    def weights(self) -> Mix:
        """The mix."""
        return mix_of(self.mix)

    @property
    def users(self) -> int:
        """Accounts of all backends: at least one for each, and no more than chats."""
        wanted = self.accounts or -(-self.chats // self.chats_per_account)
        return max(self.backends, min(wanted, self.chats))


def add_to_locust(parser: Any) -> None:
    """Put them on Locust's command line."""
    group = parser.add_argument_group("meterd", "Each is a variable too, METERD_LOAD_<NAME>.")
    for option in OPTIONS:
        action = group.add_argument(
            option.flag, type=option.of, default=option.default, help=option.help,
            env_var=option.variable,
        )  # fmt: skip
        # What Locust's parser would note of it; an address may hold a password.
        action.include_in_web_ui = not option.name.endswith("_url")
        action.is_secret = action.is_required = action.is_multiple = False


def add_to_runner(parser: argparse.ArgumentParser, env: Mapping[str, str]) -> None:
    """Put them on a command line of our own, which has no variables."""
    group = parser.add_argument_group("the load; each is a variable too, METERD_LOAD_<NAME>")
    for option in OPTIONS:
        group.add_argument(
            option.flag, type=option.of, metavar=option.name.upper(),
            default=env.get(option.variable) or str(option.default),
            help=f"{option.help} ({_shown(option)})",
        )  # fmt: skip


def _shown(option: Option) -> str:
    if option.of is duration_s:
        return f"default {option.default:g}s"
    shown = Path(option.default).name if option.name == "thresholds" else option.default
    return f"default {shown if shown != '' else 'none'}"


def load_options_of(parsed: Any) -> LoadOptions:
    """The options of a parsed command line.

    Raises:
        OptionsError: two of them can't be together.
    """
    options = LoadOptions(**{option.name: getattr(parsed, option.name) for option in OPTIONS})
    if options.loop == OPEN and options.rate == 0:
        raise OptionsError("--loop open holds a rate: give --rate a number above 0")
    return options


def typed(options: LoadOptions) -> list[str]:
    """A command line that asks for the same."""
    values = options._asdict().items()
    return [f"{Option(k, None, '').flag}={v}" for k, v in values if not k.endswith("_url")]


def without_ours(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for meterd's own commands, which refuse variables they do not know."""
    variables = os.environ if env is None else env
    return {name: value for name, value in variables.items() if not name.startswith(PREFIX)}
