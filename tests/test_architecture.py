"""The directions of imports, and commands that load neither torch nor Ray."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ripu_ray
from tests.conftest import TINY

ROOT = Path(__file__).parent.parent
LAYERS = (
    ("errors",),
    ("storage",),
    ("config",),
    ("core",),
    ("models", "data"),
    ("runs",),
    ("training",),
    ("simulation",),
    ("tracking", "annotation"),
    ("reporting", "distributed"),
    ("api",),
)
"""From the bottom to the top: a folder imports only folders of the layers below its own."""
BELOW = {
    folder: {lower for layer in LAYERS[:number] for lower in layer}
    for number, layer in enumerate(LAYERS)
    for folder in layer
}


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _imported(tree: ast.Module) -> set[str]:
    nodes = list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize("layer", BELOW)
def test_a_layer_imports_only_what_lies_below(layer: str) -> None:
    path = ROOT / "ripu_ray" / layer
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    assert files
    for file in files:
        ours = {name.split(".")[1] for name in _imported(_parsed(file)) if name.startswith("ripu_ray.")}
        assert ours - {layer} <= BELOW[layer], file
        assert not any(name.split(".")[0] == "ripu_cli" for name in _imported(_parsed(file))), file


@pytest.mark.parametrize("layer", sorted(BELOW.keys() - {"distributed"}))
def test_only_distributed_imports_ray(layer: str) -> None:
    path = ROOT / "ripu_ray" / layer
    for file in path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]:
        assert not any(name.split(".")[0] == "ray" for name in _imported(_parsed(file))), file


def test_every_folder_of_the_package_has_its_layer() -> None:
    there = {path.stem for path in (ROOT / "ripu_ray").iterdir() if path.suffix in ("", ".py")}
    assert there - {"__init__", "__pycache__"} == BELOW.keys()


def test_the_command_line_calls_the_python_interface_and_nothing_below_it() -> None:
    """The only imports are `import ripu_ray as ripu` and the errors, and each `ripu.NAME` is exported."""
    for file in sorted((ROOT / "cli").rglob("*.py")):
        tree = _parsed(file)
        ours = {name for name in _imported(tree) if name.split(".")[0] == "ripu_ray"}
        assert ours <= {"ripu_ray", "ripu_ray.errors"}, file
        assert all(
            alias.asname == "ripu"
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
            if alias.name == "ripu_ray"
        ), file
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ripu"
        }
        assert used <= set(ripu_ray.__all__), file


def test_files_have_at_most_300_lines_and_functions_fewer_than_50() -> None:
    for file in [path for folder in ("ripu_ray", "cli", "benchmarks") for path in (ROOT / folder).rglob("*.py")]:
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 300, file
        for node in ast.walk(_parsed(file)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno + 1 < 50, f"{file}: {node.name}"


def _modules_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nimport json; print(json.dumps([m.split('.')[0] for m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_core_loads_neither_ray_nor_wandb_nor_typer() -> None:
    names = sorted(path.stem for path in (ROOT / "ripu_ray/core").glob("[a-z]*.py"))
    assert {"acquisition", "selection", "budget", "losses", "metrics"} <= set(names)
    code = "; ".join(f"import ripu_ray.core.{name}" for name in names)
    assert not _modules_after(code) & {"ray", "wandb", "typer", "PIL", "pandas"}


def test_names_are_looked_up_without_torch_or_numpy() -> None:
    code = "from ripu_ray.config.registry import ACQUISITIONS; assert 'ripu' in ACQUISITIONS.names()"
    assert not _modules_after(code) & {"torch", "numpy", "ray", "pandas"}


def test_a_run_without_ray_loads_no_ray(tmp_path: Path) -> None:
    settings = [f"--set={setting}" for setting in (*TINY, "cluster.scorers=0")]
    arguments = ["run", *settings, "--output", str(tmp_path), "--name", "alone"]
    code = f"from ripu_cli.main import app\ntry: app({arguments!r})\nexcept SystemExit as e: assert e.code == 0"
    loaded = _modules_after(code)
    assert "torch" in loaded
    assert "ray" not in loaded
    assert (tmp_path / "alone/results.csv").exists()


def test_the_loop_loads_no_ray() -> None:
    loaded = _modules_after("import ripu_ray.simulation.loop, ripu_ray.simulation.local")
    assert "torch" in loaded
    assert not loaded & {"ray", "wandb", "typer"}


@pytest.mark.parametrize("flag", ["--budgets=0", "--windows=33", "--windows=15", "--set=cluster.scorers=999"])
def test_bad_input_is_refused_before_torch_or_ray_are_loaded(flag: str) -> None:
    arguments = ["sweep", "--set=data.size=[32, 48]", flag]
    code = f"from ripu_cli.main import app\ntry: app({arguments!r})\nexcept SystemExit as e: assert e.code == 2"
    assert not _modules_after(code) & {"torch", "ray", "wandb", "matplotlib"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["sweep", "--help"], ["sweep", "--no-such-flag"]])
def test_help_loads_neither_torch_nor_ray(arguments: list[str]) -> None:
    code = f"from ripu_cli.main import app\ntry: app({arguments!r})\nexcept SystemExit: pass"
    loaded = _modules_after(code)
    assert not loaded & {"torch", "ray", "numpy", "pandas", "wandb", "matplotlib"}
    assert arguments != ["--help"] or "pydantic" not in loaded  # it takes most of the half second that a help may take
