"""Whether the head of a Ray cluster is there is known without Ray."""

import socket

from daemon.process.ray_start import is_head_there


def test_a_head_is_there_while_somebody_listens() -> None:
    """Nobody listens on its port afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert is_head_there(address)
    assert not is_head_there(address)


def test_what_only_ray_can_find_is_left_to_ray() -> None:
    """``auto`` names no port that could be asked."""
    assert is_head_there("auto")
