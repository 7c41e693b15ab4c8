"""``python -m docs._generate``: build the documentation site. Warnings are errors."""

import argparse
import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from docs._generate.stage import ROOT, LinkError, stage


def main() -> int:
    """Build the site into a folder and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs._generate", description=main.__doc__)
    parser.add_argument("--site", type=Path, default=ROOT / "site", help="where the site goes")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "docs", help="for what is made in between"
    )
    options = parser.parse_args()
    source = options.work / "source"
    shutil.rmtree(source, ignore_errors=True)
    try:
        stage(source)
    except LinkError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    strict = ("--fail-on-warning", "--keep-going", "--nitpicky", "--quiet")
    fresh = ("--fresh-env", "--write-all", "--doctree-dir", str(options.work / "doctrees"))
    conf = str(Path(__file__).parent)
    return build_main([*strict, *fresh, "--conf-dir", conf, str(source), str(options.site)])


if __name__ == "__main__":
    sys.exit(main())
