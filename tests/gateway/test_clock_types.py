"""The clock's types for TypeScript are those of what the gateway sends."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from daemon.gateway.routes.pages import FOLDER
from daemon.gateway.schemas.chats import Chat
from daemon.gateway.schemas.wallets import Burner, Wallet

TYPES = Path(FOLDER, "meterd-clock.d.ts").read_text("utf-8")
INTERFACES: dict[str, type[BaseModel]] = {
    "ChatSnapshot": Chat,
    "WalletSnapshot": Wallet,
    "RunningChat": Burner,
}


def _typed(interface: str) -> dict[str, str]:
    """The fields of an interface, with their types."""
    (body,) = re.findall(rf"^export interface {interface} \{{\n(.*?)^\}}$", TYPES, re.M | re.S)
    return dict(re.findall(r"^  readonly (\w+\??): ([^;]+);$", body, re.M))


@pytest.mark.parametrize("interface", INTERFACES)
def test_an_interface_has_the_fields_that_are_sent(interface: str) -> None:
    """All of them, no others, and null exactly where null is sent."""
    sent = INTERFACES[interface].model_fields
    typed = _typed(interface)
    assert {name.rstrip("?") for name in typed} == set(sent)
    for name, type_ in typed.items():
        may_be_null = type(None) in get_args(sent[name.rstrip("?")].annotation)
        assert type_.endswith("| null") == may_be_null or name.endswith("?"), name


@pytest.mark.parametrize(
    ("interface", "field"),
    [("ChatSnapshot", "status"), ("ChatSnapshot", "free_scope"), ("RunningChat", "increment_due")],
)
def test_a_choice_has_the_values_that_are_sent(interface: str, field: str) -> None:
    """Each as a string of its own."""
    values = get_args(INTERFACES[interface].model_fields[field].annotation)
    assert sorted(re.findall(r'"(\w+)"', _typed(interface)[field])) == sorted(values)
