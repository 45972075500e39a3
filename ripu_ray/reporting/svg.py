"""Matplotlib figures as inline SVG with the font and the light or dark colours of the page."""

import io
import re

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

INK = "#010203"
"""Placeholder for the colour of the page's text."""
RULE = "#010204"
"""Placeholder for the colour of the page's thin lines."""
NUM_SERIES = 10


def series(index: int) -> str:
    """Placeholder for the page's colour `index` modulo NUM_SERIES."""
    return f"#0102{16 + index % NUM_SERIES:02x}"


_STYLES = {INK: "currentColor", RULE: "var(--rule)"} | {series(i): f"var(--s{i})" for i in range(NUM_SERIES)}


def to_svg(figure: Figure, name: str, label: str) -> Markup:
    """The figure as an `<svg>` element that fills the available width.

    Args:
        figure: figure in the colours INK, RULE and `series`.
        name: name that is unique on the page; prefix of the ids.
        label: description for screen readers.
    """
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)
    text = text.replace("xlink:href", "href").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub("|".join(_STYLES), lambda found: _STYLES[found.group()], text)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1))
