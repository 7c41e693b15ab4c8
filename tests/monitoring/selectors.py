"""Which metrics and labels an expression of PromQL asks for, against a page that has them."""

import re
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

_SELECTOR: Final = re.compile(r"\b((?:meterd|process)_\w+)(?:\{([^}]*)\})?")
_MATCHER: Final = re.compile(r'(\w+)(=~|!=|!~|=)"([^"]*)"')
_BY: Final = re.compile(r"by \(([^)]*)\)")
_OF_THE_SCRAPE: Final = frozenset({"job", "instance"})
"""Labels that Prometheus puts on itself."""


def missing_of(expr: str, page: str) -> list[str]:
    """What an expression asks for and the page does not have: selectors, else labels."""
    samples = [
        (sample.name, sample.labels)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]
    missing, labels = [], set(_OF_THE_SCRAPE)
    for name, matchers in _SELECTOR.findall(expr):
        found = [of for one, of in samples if one == name and _fits(of, matchers)]
        labels |= {label for of in found for label in of}
        if not found:
            missing.append(name + (f"{{{matchers}}}" if matchers else ""))
    grouped = {name.strip() for names in _BY.findall(expr) for name in names.split(",")}
    return missing or [f"by {name}" for name in sorted(grouped - labels)]


def _fits(labels: dict[str, str], matchers: str) -> bool:
    return all(
        label in _OF_THE_SCRAPE or _matches(labels.get(label, ""), operator, wanted)
        for label, operator, wanted in _MATCHER.findall(matchers)
    )


def _matches(value: str, operator: str, wanted: str) -> bool:
    is_it = re.fullmatch(wanted, value) if operator.endswith("~") else value == wanted
    return bool(is_it) != operator.startswith("!")
