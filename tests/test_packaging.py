from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info < (3, 11):
    pytest.skip("reads pyproject.toml with tomllib, of Python 3.11", allow_module_level=True)
import tomllib

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAPPED: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]


def python(code: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def packages_of_the_tree() -> set[str]:
    own = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "torchaug").rglob("__init__.py")}
    mapped = set()
    for name, folder in MAPPED.items():
        for path in (ROOT / folder).rglob("__init__.py"):
            mapped.add(".".join([name, *path.parent.relative_to(ROOT / folder).parts]))
    return own | mapped  # rglob follows the links in some versions of Python and not in others


def test_pyproject_lists_every_package() -> None:
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_of_the_tree()


def test_models_and_training_are_flat() -> None:
    for folder in MAPPED.values():
        assert [path.name for path in (ROOT / folder).rglob("__init__.py")] == ["__init__.py"]


@pytest.mark.skipif(os.name == "nt", reason="a Windows clone has files in the place of links")
def test_the_links_lead_to_the_folders_at_the_top() -> None:
    for name, folder in MAPPED.items():
        link = ROOT.joinpath(*name.split("."))
        assert link.is_symlink()
        assert Path(os.readlink(link)) == Path("..") / folder
        assert link.resolve() == ROOT / folder


def test_every_data_file_of_the_packages_is_shipped() -> None:
    shipped = PROJECT["tool"]["setuptools"]["package-data"]
    for path in (ROOT / "torchaug").rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            package = ".".join(path.parent.relative_to(ROOT).parts)
            assert any(path.match(pattern) for pattern in shipped.get(package, [])), path


@pytest.mark.parametrize("name", sorted(MAPPED.values()))
def test_the_top_folders_do_not_import_under_their_bare_names(name: str) -> None:
    answer = python(f"import {name}")
    assert answer.returncode == 1
    assert answer.stderr.strip().endswith(f"ImportError: import torchaug.{name}, not {name}")


def test_nothing_but_torchaug_is_installed(tmp_path: Path) -> None:
    code = "import importlib.util as u; print([u.find_spec(n) for n in ('models', 'training', 'tests', 'scripts')])"
    assert python(code, cwd=tmp_path).stdout.strip() == "[None, None, None, None]"


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("torchaug", {"lightning", "sklearn", "matplotlib", "pandas", "jinja2", "torchvision"}),
        ("torchaug.cli", {"torch", "lightning", "sklearn", "matplotlib", "pandas", "jinja2", "torchvision"}),
        ("torchaug.data", {"lightning", "sklearn", "matplotlib", "pandas", "jinja2"}),
        ("torchaug.models", {"lightning", "sklearn", "matplotlib", "pandas", "jinja2"}),
        ("torchaug.explore.report", {"lightning", "sklearn", "matplotlib", "pandas", "jinja2"}),
    ],
)
def test_importing_is_light(module: str, heavy: set[str], tmp_path: Path) -> None:
    answer = python(f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert heavy & set(answer.stdout.split()) == set()


def test_the_augmentations_load_nothing_of_what_trains(tmp_path: Path) -> None:
    answer = python("import sys, torchaug.image, torchaug.compose; print(*sys.modules)", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert {"torchvision", "torch._dynamo", "lightning", "sklearn"} & set(answer.stdout.split()) == set()


def test_the_scripts_are_executable_and_have_valid_syntax() -> None:
    scripts = [path for path in (ROOT / "scripts").iterdir() if not path.suffix] + [ROOT / ".ci" / "run"]
    assert len(scripts) == 8
    for path in scripts:
        assert os.access(path, os.X_OK), path
        shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
        assert subprocess.run([shell, "-n", path], check=False).returncode == 0
