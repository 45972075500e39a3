"""Write the folder diagram and the table of docs/architecture.md from the imports of the code.

Run `python docs/make_architecture.py`. It replaces the text between the two markers of the page.
Imports under `if TYPE_CHECKING:` are left out, since they are not executed. Imports inside functions count.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- begin: written by docs/make_architecture.py -->", "<!-- end -->"
PHRASES = {
    "errors": "exceptions",
    "storage": "atomic files, checksums, locks, URLs as paths",
    "config": "sections of the configuration, loading, safe YAML, registries of names",
    "core": "the method: pure functions on tensors and arrays",
    "models": "networks and weight files",
    "data": "readers of images and labels, checks; `data/synthetic` draws the embedded task",
    "runs": "files of a run folder: records, ledger, grid, event log",
    "training": "one phase of training, its mid-phase checkpoint and heartbeat",
    "simulation": "the loop over rounds, scoring of one image, execution without Ray",
    "annotation": "questions to people and their answers: one file for each format of annotation tools",
    "tracking": "records to W&B and JSON lines",
    "reporting": "statistics, tables, figures, the report",
    "distributed": "scoring actors, Ray Train, Ray Tune, jobs; the only folder that imports Ray",
    "api": "the Python interface: `sweep`, `run`, results, one image scored by hand",
    "ripu_cli": "the command line",
}
"""One phrase for each folder of the package, and for errors.py and cli/ripu_cli."""


def module_files() -> dict[str, Path]:
    """Name of each module of ripu_ray and ripu_cli -> its file."""
    found = {}
    for source in (ROOT, ROOT / "cli"):
        for package in ("ripu_ray", "ripu_cli"):
            for file in sorted((source / package).rglob("*.py")):
                parts = file.relative_to(source).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def module_imports() -> dict[str, set[str]]:
    """Name of each module -> the modules of ripu_ray and ripu_cli that it imports."""
    files = module_files()
    return {
        name: {
            # `from ripu_ray.storage import files` imports a module; `from ripu_ray.errors import RipuError` does not.
            imported if imported in files else imported.rpartition(".")[0]
            for imported in _imported(ast.parse(file.read_text(encoding="utf-8")).body)
            if imported.split(".")[0] in ("ripu_ray", "ripu_cli")
        }
        for name, file in files.items()
    }


def folder_of(module: str) -> str:
    """`ripu_ray.data.synthetic.scenes` -> `data`; `ripu_cli.main` -> `ripu_cli`; `ripu_ray` exports `api` -> `api`."""
    parts = module.split(".")
    return parts[0] if parts[0] == "ripu_cli" else (*parts, "api")[1]


def folder_imports() -> dict[str, set[str]]:
    """Each folder -> the other folders that it imports, from the bottom to the top."""
    found: dict[str, set[str]] = {folder: set() for folder in PHRASES}
    for module, imported in module_imports().items():
        if folder := folder_of(module):
            found[folder] |= {folder_of(name) for name in imported} - {folder, ""}
    return found


def generated() -> str:
    """The text between the markers: a Mermaid diagram and a table."""
    imports = folder_imports()
    arrows = [
        f"    {folder} --> {other}"
        for folder in reversed(PHRASES)
        for other in reversed(PHRASES)
        if other in imports[folder] and not any(other in _reached(imports, step) for step in imports[folder])
    ]
    rows = [
        f"| `{_path(folder)}` | {phrase} | {', '.join(name for name in PHRASES if name in imports[folder]) or '-'} |"
        for folder, phrase in reversed(PHRASES.items())
    ]
    diagram = "\n".join(["```mermaid", "flowchart TD", *arrows, "```"])
    return "\n".join([BEGIN, "", diagram, "", "| folder | content | imports |", "|---|---|---|", *rows, "", END])


def renewed(page: str) -> str:
    """The page with a new text between its markers."""
    before, _, rest = page.partition(BEGIN)
    return before + generated() + rest.partition(END)[2]


def _imported(body: list[ast.stmt]) -> Iterator[str]:
    """Dotted names of what the statements import, without those under TYPE_CHECKING."""
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
        elif isinstance(statement, ast.If) and ast.unparse(statement.test).endswith("TYPE_CHECKING"):
            yield from _imported(statement.orelse)
        else:
            yield from _imported(_children(statement))


def _children(statement: ast.stmt) -> list[ast.stmt]:
    bodies = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
    bodies += [part.body for part in (*getattr(statement, "handlers", []), *getattr(statement, "cases", []))]
    return [child for body in bodies for child in body]


def _reached(imports: dict[str, set[str]], folder: str) -> set[str]:
    """All folders that a folder imports, directly or through others."""
    return imports[folder] | {name for other in imports[folder] for name in _reached(imports, other)}


def _path(folder: str) -> str:
    return {"errors": "ripu_ray/errors.py", "ripu_cli": "cli/ripu_cli/"}.get(folder, f"ripu_ray/{folder}/")


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
