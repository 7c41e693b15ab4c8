"""An installed service can print the files that an operator needs."""

import pytest

from daemon import resources
from daemon.errors import ResourceNotFoundError
from tests.project._project import ROOT


def test_each_file_of_an_operator_is_a_resource() -> None:
    """The settings file and every file under `deploy` have a resource of the same text."""
    files = [ROOT / "config.yaml", *(ROOT / "deploy").rglob("*")]
    texts = {
        path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
        for path in files
        if path.is_file()
    }
    assert {name: resources.read(name) for name in resources.names()} == texts


@pytest.mark.parametrize("name", ["", "deploy", "__init__.py", "../__init__.py", "config.yml"])
def test_an_unknown_resource_is_refused_with_the_known_ones(name: str) -> None:
    """Nothing but a resource can be read, and the error names what there is."""
    with pytest.raises(ResourceNotFoundError, match=r"config\.yaml, deploy/"):
        resources.read(name)
