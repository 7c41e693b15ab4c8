"""``meterd status``."""

from typing import Any

import typer

from actors.supervisor.histogram import percentile
from daemon.console.common import (
    EXIT_FAILED,
    ConfigOption,
    JsonOption,
    print_json,
    print_line,
    print_parts,
    print_table,
    settings_or_exit,
    table,
)
from daemon.console.units import moment, span
from daemon.logging.masking import mask_credentials


def status(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Show whether commands are being handled, and what runs where.

    Exits 0 once the daemon is ready, 1 before. With --json the addresses hold their passwords.

    For example:

      meterd status

      meterd status --json | jq -r .redis_url
    """
    # Redis takes long to import; the help need not wait for it.
    from daemon.discovery.status import full_status, running_status  # noqa: PLC0415

    found = running_status(config) or full_status(settings_or_exit(config))
    if json:
        print_json(found)
    else:
        _print(found)
    if found["state"] != "ready":
        raise typer.Exit(EXIT_FAILED)


def _print(found: dict[str, Any]) -> None:
    colour = "green" if found["state"] == "ready" else "red"
    _print_state("state", found["state"], colour, found.get("why", ""))
    _print_advice(found)
    print_line(f"home       {found['home']}")
    here = found.get("here")
    if here and here["state"] in ("standby", "starting", "restarting"):
        why = "another daemon works" if here["state"] == "standby" else here["why"]
        _print_state("here", here["state"], "yellow", f"process {here['pid']}: {why}")
    for url in found.get("redis_urls", ()):
        print_line(f"redis_url  {mask_credentials(url)}")
    for name in ("postgres_url", "http_url"):
        if found.get(name):
            print_line(f"{name:10} {mask_credentials(found[name])}")
    if "actors" in found:
        _print_work(found)
        _print_partitions(found.get("partitions", []))
        _print_actors(found["actors"])


def _print_state(name: str, state: str, colour: str, why: str) -> None:
    print_parts((f"{name:10} ", ""), (state, colour), (f"  {why}", ""))


def _print_advice(found: dict[str, Any]) -> None:
    """Since when, how far, what to do, and what is wrong."""
    since_ms = found.get("state_since")
    if since_ms:
        ago = span(max(0, found["now"] - since_ms) // 1_000 * 1_000)
        print_line(f"since      {moment(since_ms)}, {ago}")
    recovery = found.get("recovery")
    if recovery:
        done, total = recovery["chats_done"], recovery["chats_total"]
        print_line(f"recovery   {done} of {total} open chats have their actor")
    if found["next_step"]:
        print_line(f"to do      {found['next_step']}")
    for alarm in found["alarms"]:
        colour = "red" if alarm["severity"] == "critical" else "yellow"
        _print_state("alarm", alarm["name"], colour, alarm["summary"])
    told = [found.get("version", ""), found["environment"]]
    if any(told):
        print_line(f"version    {', '.join(filter(None, told))}")


def _print_work(found: dict[str, Any]) -> None:
    print_line(f"chats      {found['open_chats']} open, {found['in_flight']} commands in hand")
    queue = found.get("queue", {})
    if queue:
        print_line(
            f"queue      {queue['lag']} not read, {queue['outbox']} wait for PostgreSQL, "
            f"{queue['dead']} dead letters, {queue['refused']} refused by PostgreSQL"
        )
    latency = found.get("latency_ms", {"count": 0})
    if latency["count"]:
        half, most = (percentile(latency, percent) for percent in (50, 99))
        print_line(f"latency    half of all commands {half}, 99 in 100 {most}, since it started")


def _print_partitions(lines: list[dict[str, Any]]) -> None:
    """Which machine leads which partition."""
    if not lines[1:]:
        return
    rows = table("Partitions", "partition", "state", "machine", "chats", "why")
    for line in lines:
        rows.add_row(
            str(line["partition"]), line["state"], line.get("host", ""),
            str(line["open_chats"]), line["why"],
        )  # fmt: skip
    print_table(rows)


def _print_actors(actors: list[dict[str, Any]]) -> None:
    rows = table("Actors", "actor", "process", "up", "chats", "restarts", "which")
    for actor in actors:
        more = "…" if actor["chats"] > len(actor["chat_ids"]) else ""
        which = ", ".join(actor["chat_ids"]) + more
        rows.add_row(
            actor["name"], str(actor["pid"] or "-"), "yes" if actor["up"] else "no",
            str(actor["chats"]), str(actor["restarts"]), which,
        )  # fmt: skip
    print_table(rows)
