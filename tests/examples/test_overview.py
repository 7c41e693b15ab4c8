"""The overview of the examples, and what is copied into them."""

import filecmp

from tests.examples.running import COMMANDS, ROOT

EXAMPLES = ROOT / "examples"
TYPES = ("meterd-clock.d.ts", "meterd-clock-react.d.ts")


def test_the_overview_has_each_example_with_its_two_commands() -> None:
    """As they stand in the example's own README."""
    overview = (EXAMPLES / "README.md").read_text("utf-8")
    readmes = sorted(EXAMPLES.glob("*/README.md"))
    assert [path.parent.name for path in readmes] == ["fastapi-react", "node-backend"]
    for path in readmes:
        ((install, run),) = COMMANDS.findall(path.read_text("utf-8"))
        assert f"`{install}`<br>`{run}`" in overview


def test_the_types_of_the_clock_are_those_of_the_gateway() -> None:
    """Copied, and copied again when they change."""
    gateway = ROOT / "daemon" / "gateway" / "static"
    copies = EXAMPLES / "fastapi-react" / "src"
    assert filecmp.cmpfiles(gateway, copies, TYPES, shallow=False) == ([*TYPES], [], [])
