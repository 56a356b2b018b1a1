"""Imports run one way, `__init__` files only re-export, and `import pyro_vae` is light."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyro_vae

ROOT = Path(pyro_vae.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

#: Each layer may import from those above it, and no folder from another one of its own layer.
LAYERS = [
    {"networks", "manifolds", "flows", "schedules", "data", "plots"},
    {"priors", "likelihoods", "posteriors"},
    {"programs"},
    {"terms"},
    {"checks"},
    {"estimators"},
    {"objectives"},
    {"training", "evaluation"},
    {"families"},
    {"cli"},
]
HEAVY = {"sklearn", "matplotlib", "pooch", "jsonargparse", "tensorboard", "constriction", "pandas"}


def module_name(path: Path, root: Path = ROOT) -> str:
    parts = (root.name, *path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str, package: str) -> Iterator[str]:
    """Every module or name that the source imports, at any depth, as an absolute dotted name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def wrong_imports(source: str, name: str, package: str) -> list[str]:
    """What a module of ours imports against the direction."""
    level = {folder: number for number, layer in enumerate(LAYERS) for folder in layer}
    here = name.split(".")[1] if "." in name else None
    wrong = []
    for target in imported(source, package):
        parts = target.split(".")
        if parts[0] != "pyro_vae" or here is None:
            continue
        there = parts[1] if len(parts) > 1 else None
        if there != here and not (there in level and level[there] < level[here]):
            wrong.append(f"{name} imports {target}")
    return wrong


def test_every_folder_has_its_layer():
    folders = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert folders <= set().union(*LAYERS)
    assert [path.name for path in ROOT.glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_run_one_way(path):
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    assert wrong_imports(path.read_text("utf-8"), name, package) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("pyro_vae.priors.vamp", "from pyro_vae.posteriors import Posterior"),
        ("pyro_vae.priors.vamp", "from ..likelihoods.base import Likelihood"),
        ("pyro_vae.networks.mlp", "def f():\n    import pyro_vae.data"),
        ("pyro_vae.programs.vae", "from pyro_vae import objectives"),
        ("pyro_vae.programs.vae", "from .. import fit"),
        ("pyro_vae.objectives.elbo", "from ..training.fit import fit"),
        ("pyro_vae.training.fit", "from pyro_vae.evaluation import evaluate"),
        ("pyro_vae.evaluation.report", "import pyro_vae.training.history as h"),
        ("pyro_vae.training.fit", "from ..cli import main"),
        ("pyro_vae.data.files", "import pyro_vae"),
    ],
)
def test_an_import_against_the_direction_is_seen(name, source):
    assert len(wrong_imports(source, name, name.rpartition(".")[0])) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("pyro_vae.priors.vamp", "from .base import Prior\nfrom . import base"),
        ("pyro_vae.priors.vamp", "from ..networks import MLP\nimport torch"),
        ("pyro_vae.cli.main", "from pyro_vae import training, evaluation, data"),
    ],
)
def test_an_import_along_the_direction_passes(name, source):
    assert wrong_imports(source, name, name.rpartition(".")[0]) == []


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name == "__init__.py"], ids=module_name
)
def test_an_init_file_only_reexports(path):
    tree = ast.parse(path.read_text("utf-8"))
    names, listed = set(), None
    for number, node in enumerate(tree.body):
        if isinstance(node, ast.Expr) and number == 0:
            assert isinstance(node.value, ast.Constant), "a docstring"
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1 or (node.module or "").startswith("pyro_vae"), ast.unparse(node)
            names |= {alias.asname or alias.name for alias in node.names}
        else:
            assert isinstance(node, ast.Assign), ast.unparse(node)
            (target,) = [ast.unparse(target) for target in node.targets]
            assert target in ("__all__", "__version__"), target
            if target == "__all__":
                listed = ast.literal_eval(node.value)
    if names:
        assert listed is not None and set(listed) == names and len(listed) == len(names)


def private_imports(source: str) -> list[str]:
    """What a tutorial imports of ours that is not offered by an ``__all__``."""
    wrong = []
    for target in imported(source, ""):
        first, *rest = target.split(".")
        if first != "pyro_vae":
            continue
        here = pyro_vae
        for name in rest:
            offered = getattr(here, "__all__", None) or [n for n in vars(here) if n[0] != "_"]
            if name not in offered:
                wrong.append(target)
                break
            here = getattr(here, name)
    return wrong


def test_tutorials_use_the_public_api_alone():
    for path in sorted((ROOT.parent / "tutorials").glob("**/*.py")):
        assert private_imports(path.read_text("utf-8")) == [], path.name


def test_a_private_import_is_seen():
    good = (
        "from pyro_vae.programs.vae import Model\nfrom pyro_vae import fit\nimport pyro_vae.priors"
    )
    assert private_imports(good + "\nimport torch\nfrom pyro_vae.networks import MLP") == []
    for bad in (
        "from pyro_vae.terms.passes import run",
        "from pyro_vae.plots import _style",
        "import pyro_vae.networks.shapes",
        "from pyro_vae.programs.vae import _hidden",
    ):
        assert len(private_imports(bad)) == 1


def test_every_public_name_is_there():
    for path in FILES:
        if path.name == "__init__.py" and path.parent.name != "cli":
            module = importlib.import_module(module_name(path))
            assert all(hasattr(module, name) for name in getattr(module, "__all__", ()))


def test_import_pyro_vae_is_light():
    code = "import sys, pyro_vae; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert {"torch", "pyro", "pyro_vae"} <= loaded
    assert loaded & HEAVY == set()
