"""How Sphinx builds the site; ``make docs`` runs it."""

import re
from importlib.metadata import version as version_of
from typing import Any, get_args

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config as DocstringConfig
from sphinx.ext.napoleon.docstring import GoogleDocstring

import meterd

project = "meterd"
author = copyright = "The meterd contributors"  # noqa: A001 - Sphinx's name
version = release = version_of("meterd")
language = "en"
smartquotes = False  # `--config` stays two hyphens

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "index"

html_theme = "furo"
html_title = f"meterd {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 4
myst_heading_slug_func = "docs._generate.links.slug"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autoclass_content = "both"  # with the arguments that `__init__` describes
python_use_unqualified_type_names = True

nitpick_ignore_regex = [
    # Not ours, and there is no network to ask other projects for their pages.
    ("py:.*", r"(collections|decimal|typing)\..*|Decimal|TypeError|[a-z]+"),
    # Behind `enqueue` and `Reply`: not public.
    ("py:.*", r"meterd\._(client\.SentT|commands\.Commands|results\.SnapshotT_co)"),
]
# A lexer that does not know a new word of its language is no fault of the page.
suppress_warnings = ["misc.highlighting_failure"]

_SEVERAL_ERRORS = re.compile(r"^( *)((?:\w+Error, )+\w+Error): (.*)$")


def _read_docstring(
    app: Sphinx, what: Any, name: str, kind: object, options: Any, lines: list[str]
) -> None:
    """Read a docstring in Google's style.

    Napoleon's own hook takes `Words: more words` of an attribute for its type.
    """
    if what in {"attribute", "data", "property"}:
        return
    each = [line for one in lines for line in _one_error_a_line(one)]
    read = GoogleDocstring(each, _DOCSTRINGS, app, what, name, kind, options)
    lines[:] = read.lines()


_DOCSTRINGS: Any = DocstringConfig(napoleon_use_rtype=False)


def _one_error_a_line(line: str) -> list[str]:
    """Write `A, B: why` under Raises as two lines, so that each name becomes a link."""
    match = _SEVERAL_ERRORS.match(line)
    if not match:
        return [line]
    indent, names, why = match.groups()
    return [f"{indent}{name}: {why}" for name in names.split(", ")]


def _results_of(client: type) -> dict[str, str]:
    """From the type variables of the methods to what the methods of this client return."""
    (base,) = client.__orig_bases__  # type: ignore[attr-defined]
    variables = base.__origin__.__parameters__
    return {
        variable.__name__: _shown(result)
        for variable, result in zip(variables, get_args(base), strict=True)
    }


def _shown(kind: object) -> str:
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    return _MODULE.sub("", name)


_MODULE = re.compile(r"\b(?:[a-z_]+\.)+(?=[A-Z])")
_VARIABLE = re.compile(r"~?(?:[a-z_]+\.)*([A-Z]\w*T)\b")


_RESULTS = {client.__name__: _results_of(client) for client in (meterd.Meter, meterd.AsyncMeter)}


def _with_results(
    _app: Sphinx,
    _what: str,
    name: str,
    _object: object,
    _options: Any,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None] | None:
    """Name what a client's method returns, instead of a type variable."""
    client = name.split(".")[1] if name.count(".") > 1 else ""
    results = _RESULTS.get(client)
    if results is None or returned is None:
        return None
    return signature, _VARIABLE.sub(lambda found: results[found.group(1)], returned)


def _public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Resolve `meterd._results.Reply`, or `Reply` alone, as the public name `meterd.Reply`."""
    name = str(node.get("reftarget", "")).rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in meterd.__all__:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(
        env, node["refdoc"], app.builder, "obj", f"meterd.{name}", node, content
    )


def _keep_anchors(_app: Sphinx, document: nodes.document) -> None:
    """Give each heading the anchor that a Git host gives it, beside the one of Sphinx."""
    for heading in document.findall(nodes.section):
        anchor = heading.get("slug")
        if anchor and anchor not in heading["ids"] and anchor not in document.ids:
            heading["ids"].append(anchor)
            document.ids[anchor] = heading


def _dashes(_app: Sphinx, document: nodes.document) -> None:
    """Put a dash between an argument and what it is, as Sphinx leaves to its smart quotes."""
    for text in list(document.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" \N{EN DASH} "))


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("autodoc-process-docstring", _read_docstring)
    app.connect("autodoc-process-signature", _with_results)
    app.connect("missing-reference", _public_name)
    app.connect("doctree-read", _keep_anchors)
    app.connect("doctree-read", _dashes)
