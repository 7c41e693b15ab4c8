"""Commands of the client in TypeScript: what may be sent, and what is refused, as in Python."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis

from meterd._errors import REFUSALS
from meterd.rules.commands import SHAPES
from meterd.rules.field_formats import FIELD_FORMATS, format_of
from meterd.rules.outcomes import MESSAGES, OK
from tests.client.by_hand import Fields, answering, commands, reply
from tests.client.typescript.node import NODE, refused, run

pytestmark = [pytest.mark.redis, pytest.mark.timeout(60)]


def test_the_commands_are_those_of_the_rules(package: Path) -> None:
    """Each type has the same fields, needed and possible; each field is checked."""
    program = (
        "import { SHAPES } from './src/fields.js';"
        "import { Meter } from './src/index.js';"
        "const methods = Object.keys(SHAPES).filter((type) => type in Meter.prototype);"
        "console.log(JSON.stringify({ SHAPES, methods }));"
    )
    said = json.loads(run(NODE, "--input-type=module", "-e", program, cwd=package).stdout)
    wanted = {
        name: {"needs": list(shape.needs), "may_have": list(shape.may_have)}
        for name, shape in SHAPES.items()
        if name != "settle"
    }
    assert said == {"SHAPES": wanted, "methods": list(wanted)}


TEXTS = (
    "", "0", "1", "-1", "0.0", "1.5", "1.", ".5", "-0.000001", "0.0000001", "999999999.999999",
    "1000000000", "999999999999", "1000000000000", "a", "a b", "a\n", "x" * 64, "x" * 65, "x" * 128,
    "x" * 129, "é", "٣", "chat", "advisor", "user", "begin", "end", "a_.:@/+=-9", "constructor",
)  # fmt: skip


def test_a_value_is_refused_if_and_only_if_the_rules_refuse_it(
    meter: Any, queue: redis.Redis
) -> None:
    """Each field of each command with texts at the borders of every form."""
    asked, allowed = [], []
    for type_, shape in SHAPES.items():
        for name in (*shape.needs, *shape.may_have) if type_ != "settle" else ():
            if name == "id" or name.endswith("_ms") or name == "started_at":
                continue  # an id is a field like chat_id; times are numbers, see the table of cases
            least = {need: _least(type_, need) for need in shape.needs if need != "id"}
            for text in TEXTS:
                form = format_of(type_, name)
                fits = form.pattern.fullmatch(text) is not None
                allowed.append(fits and not (form.is_above_0 and Decimal(text) == 0))
                fields = {"type": type_, **least, name: text}
                asked.append(meter.begin("command", enqueue=True, fields=fields))
    found = [future.exception(30) is None for future in asked]
    assert found == allowed
    assert 100 < sum(allowed) == len(commands(queue))


def _least(type_: str, name: str) -> object:
    form = format_of(type_, name)
    assert name in FIELD_FORMATS
    return 1 if form.pattern.fullmatch("1") and name.endswith(("_ms", "_at")) else "1"


@pytest.mark.parametrize("outcome", sorted(set(MESSAGES) - {OK}))
def test_each_outcome_is_an_error_of_the_same_name_as_in_python(
    meter: Any, server: str, outcome: str
) -> None:
    """Those too that a daemon rarely gives."""

    def refuse(client: redis.Redis, entry: str, command: Fields) -> None:
        reply(client, entry, command, outcome=outcome, message=MESSAGES[outcome])

    with answering(server, refuse):
        said = refused(meter, "pause", chat_id="c", id="mine")
    assert said["error"] == REFUSALS[outcome].__name__
    assert said["kinds"][1:] == ["CommandRefusedError", "MeterError", "Error"]
    assert (said["outcome"], said["id"]) == (outcome, "mine")
    assert said["reply"]["message"] == MESSAGES[outcome]


def test_an_outcome_of_a_later_release_is_a_refusal_too(meter: Any, server: str) -> None:
    """A client older than its daemon still says what it was told."""
    with answering(server, lambda *a: reply(*a, outcome="moon_phase", message="not tonight")):
        said = refused(meter, "pause", chat_id="c")
    assert (said["error"], said["outcome"]) == ("CommandRefusedError", "moon_phase")
    assert "not tonight" in said["message"]
