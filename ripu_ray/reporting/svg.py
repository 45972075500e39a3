"""Matplotlib figures as inline SVG in the page's own font and colours, so that light and dark both look right."""

import io
import re

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

INK = "#010203"
"""Drawn in the colour of the page's text."""
RULE = "#010204"
"""Drawn in the colour of the page's thin lines."""
NUM_SERIES = 10
_STAND_INS = {INK: "currentColor", RULE: "var(--rule)"} | {
    f"#0102{16 + i:02x}": f"var(--s{i})" for i in range(NUM_SERIES)
}


def series(index: int) -> str:
    """Stands for the page's colour number `index`, from 0; after the last they begin again."""
    return f"#0102{16 + index % NUM_SERIES:02x}"


_STAND_INS = {INK: "currentColor", RULE: "var(--rule)"} | {series(i): f"var(--s{i})" for i in range(NUM_SERIES)}


def to_svg(figure: Figure, name: str, label: str) -> Markup:
    """The figure as an `<svg>` element that fills the width it is given.

    Args:
        figure: drawn in INK, RULE and `series`.
        name: of no other figure of the page; its ids begin with it.
        label: what is to be seen, for those who cannot.
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
    text = re.sub("|".join(_STAND_INS), lambda found: _STAND_INS[found.group()], text)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1))
