"""Diagrams as inline SVG that follows the page: text stays text, colours are the page's own, light and dark.

matplotlib writes colours and fonts into `style` attributes, which the page's Content-Security-Policy forbids. Here each
colour of `THEME_COLOURS` becomes a class of the page's style sheet, and everything else a plain attribute.
"""

import io
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, GRID, SURFACE = "#010101", "#020202", "#030303", "#040404"
SERIES = ("#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005")
THEME_COLOURS = {INK: "ink", MUTED: "muted", GRID: "grid", SURFACE: "surface"} | {
    colour: f"s{number}" for number, colour in enumerate(SERIES, start=1)
}
"""Stand-ins that no diagram has by chance -> the style sheet's name."""
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_DROPPED = ("font-family", "font")
"""The page's own fonts are as good, and are there."""
_SETTINGS: Any = {
    "text.parse_math": False,  # a dollar is one
    "svg.fonttype": "none",
    "svg.hashsalt": "parsimony",
    "font.size": 10.0,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.titlesize": 10.0,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "hatch.color": SURFACE,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
}


@dataclass(frozen=True, slots=True)
class Words:
    """What a diagram is called.

    Attributes:
        name: unique in the page: letters, digits, hyphens.
        title: what it shows.
        description: what there is to be seen, for who does not see it.
    """

    name: str
    title: str
    description: str


def inline_svg(draw: Callable[["Figure"], None], words: Words, *, width_in: float = 7.2, height_in: float = 3.4) -> str:
    """An `<svg>` element to stand in the page.

    Args:
        draw: fills the figure; colours are those of `THEME_COLOURS`.
        words: its name, title and description.
        width_in: of the figure, in inches.
        height_in: likewise.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    stream = io.BytesIO()
    with rc_context(_SETTINGS):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        draw(figure)
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    root = ET.fromstring(stream.getvalue())  # noqa: S314 (matplotlib wrote it just now)
    for element in root.iter():
        _clean(element, words.name)
    _label(root, words)
    return ET.tostring(root, encoding="unicode")


def _clean(element: ET.Element, name: str) -> None:
    """Make one element fit for the page; `name` goes before every id, so that diagrams do not share one."""
    element.tag = element.tag.removeprefix(_SVG)
    for child in [child for child in element if child.tag.removeprefix(_SVG) in {"metadata", "style"}]:
        element.remove(child)
    if _HREF in element.attrib:
        element.set("href", element.attrib.pop(_HREF))
    for key, value in element.attrib.items():
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif key in {"href", "clip-path"}:
            element.set(key, value.replace("#", f"#{name}-"))
    _unstyle(element, name)


def _unstyle(element: ET.Element, name: str) -> None:
    """Declarations become attributes, colours of the page classes."""
    classes = []
    for key, value in _declarations(element.attrib.pop("style", "")):
        if key in {"fill", "stroke"} and value in THEME_COLOURS:
            classes.append(f"{key}-{THEME_COLOURS[value]}")
        elif value.startswith("url(#"):
            element.set(key, value.replace("#", f"#{name}-"))
        elif key not in _DROPPED:
            element.set(key, value)
    if classes:
        element.set("class", " ".join(classes))


def _declarations(style: str) -> list[tuple[str, str]]:
    pairs = (part.partition(":") for part in style.split(";") if part.strip())
    return [(key.strip(), value.strip()) for key, _, value in pairs]


def _label(root: ET.Element, words: Words) -> None:
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("class", "plot")
    root.set("aria-labelledby", f"{words.name}-title {words.name}-description")
    for tag, text in (("desc", words.description), ("title", words.title)):
        element = ET.Element(tag, {"id": f"{words.name}-{'title' if tag == 'title' else 'description'}"})
        element.text = text
        root.insert(0, element)
