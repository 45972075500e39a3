"""Sphinx's configuration: `make docs` builds the site in build/docs. Warnings are errors."""

import os
import subprocess
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from pygments.lexers import TextLexer

HERE = Path(__file__).resolve().parent

project = "ripu-ray"
version = release = installed_version("ripu-ray")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns: list[str] = []
myst_heading_anchors = 3
html_theme = "pydata_sphinx_theme"
html_title = "ripu-ray"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_nav_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
}
# Docstrings write code between single backticks.
default_role = "code"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
linkcheck_timeout = 20

# The reference of the commands is written anew by Typer.
_COMMANDS = [sys.executable, "-m", "typer", "ripu_cli.main", "utils", "docs", "--name", "ripu", "--title", "Commands"]
(HERE / "reference/cli.md").write_text(
    subprocess.run(_COMMANDS, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"}).stdout,
    encoding="utf-8",
)


def setup(app: Any) -> None:
    """Show Mermaid diagrams as text: rendering them needs a script from another server."""
    app.add_lexer("mermaid", TextLexer)
