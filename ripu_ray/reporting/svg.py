"""Matplotlib figures as inline SVG with the font and the light or dark colours of the page."""

import io
import re
import warnings

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


def plain(text: str) -> str:
    """Escape a text of the user for Matplotlib, which would draw the part between two dollar signs as a formula."""
    return text.replace("$", r"\$")


def to_svg(figure: Figure, name: str, label: str) -> Markup:
    """The figure as an `<svg>` element that fills the available width.

    Args:
        figure: figure in the colours INK, RULE and `series`.
        name: name that is unique on the page; prefix of the ids.
        label: description for screen readers.
    """
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        # The browser draws the text: a letter that Matplotlib's font lacks is not missing there.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r"<[^>]+>", lambda tag: _restyled(tag.group(), name), text)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1))


def _restyled(tag: str, name: str) -> str:
    """A tag, not the text between tags, with ids of its own and the colours of the page."""
    tag = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", tag)
    tag = tag.replace("xlink:href", "href").replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    tag = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", tag)
    return re.sub("|".join(_STYLES), lambda found: _STYLES[found.group()], tag)
