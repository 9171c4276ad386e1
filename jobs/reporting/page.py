"""From what was found to one HTML file, which loads nothing from anywhere.

Every text of a run is escaped by jinja2, or stands in JSON without `<`, `>` and `&`, or in base64; the page's script
writes it as text content only. The Content-Security-Policy allows this one script and this one style sheet, by hash.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("data.js", "list.js", "tree.js", "problem.js")


def render(context: Mapping[str, Any]) -> str:
    """The page.

    Args:
        context: what `page.html` names; `svg` of a diagram, `meta`, `listing` and `chunks` are put in as they stand.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["address"] = address
    script = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    template = environment.get_template("page.html")
    return template.render(script=script, script_hash=_hash(script), style=style, style_hash=_hash(style), **context)


def address(problem_id: str) -> str:
    """A problem id as the part of an address after `#problem=`, as `encodeURIComponent` writes it."""
    return quote(problem_id, safe="!'()*")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
