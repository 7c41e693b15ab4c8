"""Start Ray on this machine: within limits of ours, and without what meterd has no use for.

Ray 2.60 has no setting for some of its start limits: its raylet aborts if an agent has not written
its port within 15 s, and ``ray.init`` gives up 30 s after it started the raylet. So the ports are
handed over in the call that starts the raylet, which then waits for no agent, and the wait for the
node is ours. Metrics, dashboard, autoscaler and log monitor are left out: three processes of
80 MiB and a port on all interfaces that meterd has no use for.
"""

import contextlib
import os
import socket
import time
from functools import partial
from typing import Any, Final

import ray
from ray._private import parameter, services

from daemon.errors import RayStartError, RayStartTimeoutError
from daemon.process.ray_processes import children_of

OBJECT_STORE_BYTES: Final = 100 * 1024 * 1024
START_S: Final = 60.0
POLL_S: Final = 0.1
HEAD_ANSWER_S: Final = 2.0
"""How long the head of a cluster may take to accept a connection."""
NO_PORT: Final = -1
"""How Ray's own agents say that a service does not exist."""


def start_ray(address: str | None, folder: str, limit_s: float = START_S) -> None:
    """Join the cluster at ``address``, or start one of our own on this machine.

    Args:
        address: host:port of a cluster, or ``auto``; None for one of our own.
        folder: where Ray's own files go.
        limit_s: how long starting the node may take, in seconds; ``ray_limits`` has the others.

    Raises:
        RayStartTimeoutError: it took too long.
        RayStartError: it failed for another reason.
    """
    if address is None:
        _use_own_limits(limit_s)
    options: dict[str, Any] = (
        {"address": address}
        if address
        else {
            "address": "local",
            "include_dashboard": False,
            "configure_logging": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_node_ip_address": "127.0.0.1",
            "_temp_dir": folder,
        }
    )
    began_s = time.monotonic()
    try:
        ray.init(namespace="meterd", log_to_driver=False, **options)
    except RayStartError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        if _is_timeout(error) or time.monotonic() - began_s >= limit_s:
            raise RayStartTimeoutError(text) from error
        raise RayStartError(text) from error


def is_head_there(address: str) -> bool:
    """Whether somebody listens where the head of a cluster should be.

    Args:
        address: host:port; of anything else, such as ``auto``, only Ray itself knows.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return True
    with contextlib.suppress(OSError):
        socket.create_connection((host.strip("[]"), int(port)), HEAD_ANSWER_S).close()
        return True
    return False


def _is_timeout(error: Exception) -> bool:
    """Ray raises bare ``Exception`` and ``RuntimeError`` here: its words are all there is."""
    words = str(error).lower()
    return isinstance(error, TimeoutError) or any(
        word in words for word in ("timed out", "timeout", "deadline exceeded")
    )


def _use_own_limits(limit_s: float) -> None:
    ray_services: Any = services
    ray_parameter: Any = parameter
    ray_services.start_raylet = partial(_start_raylet, ray_services.start_raylet)
    ray_services.get_node = partial(_await_node, ray_services.get_node, limit_s)
    ray_services.start_api_server = _start_no_dashboard
    ray_parameter.RayParams = partial(
        ray_parameter.RayParams, no_monitor=True, include_log_monitor=False
    )


def _start_raylet(start: Any, *args: Any, **options: Any) -> Any:
    """Name all agents' ports, so that the raylet waits for no agent to find one."""
    ports = {
        "metrics_agent_port": NO_PORT,
        "metrics_export_port": NO_PORT,
        "dashboard_agent_listen_port": NO_PORT,
        "runtime_env_agent_port": _free_port(),
    }
    return start(*args, **{**options, **ports})


def _await_node(get_node: Any, limit_s: float, gcs_address: str, node_id: str) -> Any:
    """The node's entry in the GCS, once the raylet has made it."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return get_node(gcs_address, node_id)
        except RuntimeError as error:
            if "raylet" not in children_of(os.getpid()).values():
                raise RayStartError("the raylet has ended while it started") from error
            if time.monotonic() > deadline:
                raise RayStartTimeoutError(
                    f"the raylet has not registered within {limit_s:g} s"
                ) from error
        time.sleep(POLL_S)


def _start_no_dashboard(*_args: Any, **_options: Any) -> tuple[None, None]:
    return None, None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
