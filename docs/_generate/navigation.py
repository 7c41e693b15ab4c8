"""Which page stands where in the site: tutorial, how-to, reference, explanation."""

from collections.abc import Mapping
from typing import Final

NAVIGATION: Final[Mapping[str, tuple[str, ...]]] = {
    "Tutorial": (
        "docs/tutorial*.md",
        "docs/frontends.md",
    ),
    "How-to": (
        "docs/clients.md",
        "docs/clock.md",
        "docs/operations.md",
        "docs/security.md",
        "docs/scaling.md",
        "docs/several-machines.md",
        "docs/upgrading.md",
        "docs/audit.md",
        "docs/retention.md",
        "docs/load-tests.md",
        "docs/migration.md",  # migration seam
        "CONTRIBUTING.md",
        "SECURITY.md",
    ),
    "Reference": (
        "docs/protocol.md",
        "docs/http.md",
        "reference/*.md",
        "docs/glossary.md",
        "CHANGELOG.md",
    ),
    "Explanation": (
        "docs/architecture.md",
        "docs/reliability.md",
        "docs/performance.md",
        "docs/adr/README.md",
        "docs/adr/*.md",
    ),
}
"""Group → patterns of paths, in order. A page that no pattern names fails the build."""
