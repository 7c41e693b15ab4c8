"""What a client does with the servers, and what a daemon's life looks like from outside."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
import redis

from daemon.embedded import Urls
from daemon.embedded.processes import find_marked, mark_of
from loadtests.common.timeouts import scaled
from loadtests.common.watchdog import end_with_us

# A daemon: starts the servers, says where they are, waits.
DAEMON = """
import sys, time
from pathlib import Path
from daemon.embedded import EmbeddedServers
urls = EmbeddedServers(Path(sys.argv[1])).start()
print(urls.redis_url, urls.postgres_url, flush=True)
time.sleep(300)
"""


def valkey(urls: Urls) -> redis.Redis:
    """A client of the Redis-compatible server."""
    assert urls.redis_url is not None
    return redis.Redis.from_url(urls.redis_url, decode_responses=True)


def query(urls: Urls, statement: str) -> list[tuple[object, ...]]:
    """Run a statement; its rows."""
    with closing(psycopg2.connect(urls.postgres_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


def leave_facts(urls: Urls) -> None:
    """Write something into both, onto the disk."""
    with closing(valkey(urls)) as client:
        client.xadd("meterd:{0}:commands", {"type": "start"})
        assert client.waitaof(1, 0, 10_000)[0] == 1
    query(urls, "CREATE TABLE facts (fact text)")
    query(urls, "INSERT INTO facts VALUES ('kept')")


def facts_are_there(urls: Urls) -> bool:
    """Whether what was written is there, once."""
    with closing(valkey(urls)) as client:
        commands = client.xlen("meterd:{0}:commands")
    return commands == 1 and query(urls, "SELECT fact FROM facts") == [("kept",)]


def start_daemon(home: Path) -> tuple[subprocess.Popen[str], Urls]:
    """Start a daemon in a process of its own, and wait until it has its servers."""
    command = [sys.executable, "-c", DAEMON, str(home)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    end_with_us(process.pid)
    assert process.stdout is not None
    redis_url, postgres_url = process.stdout.readline().split()
    return process, Urls(redis_url, postgres_url)


def end_daemon(process: subprocess.Popen[str]) -> None:
    """Kill -9."""
    process.kill()
    process.wait(scaled(10))
    assert process.stdout is not None
    process.stdout.close()


def pids(home: Path) -> dict[str, int]:
    """The main process of each server."""
    postgres = int((home / "postgres" / "postmaster.pid").read_text().split("\n")[0])
    (valkey_pid,) = find_marked(mark_of(home / "valkey"), "valkey-server")
    return {"valkey": valkey_pid, "postgres": postgres}


def nothing_runs(home: Path) -> bool:
    """Whether neither server of this home does."""
    marks = {"valkey-server": mark_of(home / "valkey"), "postgres": mark_of(home / "postgres")}
    return not any(find_marked(mark, command) for command, mark in marks.items())
