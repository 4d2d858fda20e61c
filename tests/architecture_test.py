import ast
import importlib.util
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "usergpt_jax"
STAGES = ("simulate", "semantize", "curriculum", "sft", "rl", "bench", "report")
# A package may import its own level and those before it; a stage only itself among the stages.
LEVELS = (("core",), ("models", "tasks", "corpus"), ("inference",), STAGES)


def level_of(package):
    return next((i for i, level in enumerate(LEVELS) if package in level), 0)  # schema, tags, gazetteer: lowest


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_and_no_stage_imports_another(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imports_of(path):
        parts = name.split(".")
        assert parts[0] not in ("torch", "tensorflow", "configs", "launch", "tests", "benchmarks"), name
        if parts[0] == "usergpt_jax" and len(parts) > 1 and parts[1] != own:
            assert level_of(parts[1]) <= level_of(own), f"{own} imports up: {name}"
            assert not (own in STAGES and parts[1] in STAGES), f"{own} imports another stage: {name}"


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="tensorboardX imports torch where it can")
def test_the_library_pulls_in_neither_torch_nor_tensorflow():
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted(PACKAGE.rglob("*.py"))]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "found = {'torch', 'tensorflow'} & set(sys.modules)\n"
        "sys.exit(f'imported: {found}' if found else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
