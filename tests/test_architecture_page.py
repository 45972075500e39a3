"""The page docs/architecture.md shows the imports of the code, and they have no circle."""

import re
import runpy
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPT = runpy.run_path(str(ROOT / "docs/make_architecture.py"))


def test_the_page_is_what_its_script_writes() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert page == SCRIPT["renewed"](page), "run `python docs/make_architecture.py`"


def test_every_folder_has_a_phrase() -> None:
    folders = {SCRIPT["folder_of"](module) for module in SCRIPT["module_files"]()}
    assert folders - {""} == SCRIPT["PHRASES"].keys()


def test_the_readme_has_every_folder() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [folder for folder in SCRIPT["PHRASES"] if f"{folder}/ " not in readme and folder != "errors"] == []


def test_no_two_folders_import_each_other() -> None:
    imports = SCRIPT["folder_imports"]()
    assert [(one, other) for one in imports for other in imports[one] if one in imports[other]] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    order = list(TopologicalSorter(SCRIPT["module_imports"]()).static_order())  # raises CycleError with the circle
    assert "ripu_ray.simulation.loop" in order


def test_modules_and_functions_that_the_page_names_exist() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)+\w+\.py)`(?:,\s+`([\w.]+)`)?", page.partition("## Path of an image")[2])
    assert len(named) > 20
    for file, name in named:
        path = ROOT / file if file.startswith("cli/") else ROOT / "ripu_ray" / file
        defined = re.findall(r"(?:def|class) (\w+)", path.read_text(encoding="utf-8"))
        assert not name or set(name.split(".")) <= set(defined), (file, name)
