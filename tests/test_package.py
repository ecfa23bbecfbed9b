"""The package as it is installed: public names, what importing costs, the wheel in a clean environment.

The notebooks test their own namespace; that the installed modules hold the same names is tested here.
"""

import ast
import importlib
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "cifar_cnn"
MODULES = sorted(".".join(path.relative_to(PACKAGE).with_suffix("").parts)
                 for path in PACKAGE.rglob("[!_]*.py"))
NEED_AN_EXTRA = {"serve", *(name for name in MODULES if name.startswith("serving."))}


def public_names(path):
    "A module's `__all__`, read without importing the module."
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return ast.literal_eval(statement.value)
    return []


def output_of(*command, **options):
    "What a command printed; its messages become the test's message when it fails."
    result = subprocess.run(command, capture_output=True, text=True, **options)
    said = result.stdout + result.stderr
    assert result.returncode == 0, f"{command} exited with {result.returncode}:\n{said}"
    return result.stdout


@pytest.mark.parametrize("name", MODULES)
def test_public_names_import(name):
    names = public_names(PACKAGE / f"{name.replace('.', '/')}.py")
    assert names, f"cifar_cnn.{name} exports nothing"
    module = importlib.import_module(f"cifar_cnn.{name}")
    missing = [public for public in names if not hasattr(module, public)]
    assert not missing, f"cifar_cnn.{name} lists names in __all__ that it does not define: {missing}"


def test_import_is_light():
    code = "import sys, cifar_cnn; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(output_of(sys.executable, "-c", code, cwd=ROOT).split())
    assert "cifar_cnn" in loaded
    heavy = {"torch", "torchvision", "numpy", "matplotlib", "seaborn", "sklearn", "PIL", "ipywidgets"}
    assert not loaded & heavy


def test_the_server_leaves_out_what_it_does_not_need():
    "What draws figures, reads tables and shows widgets would take a second and some hundred megabytes."
    code = ("import sys\nfrom cifar_cnn.serving.server import create_app\ncreate_app()\n"
            "print(*{name.partition('.')[0] for name in sys.modules})")
    loaded = set(output_of(sys.executable, "-c", code, cwd=ROOT).split())
    assert "onnxruntime" in loaded
    assert not loaded & {"matplotlib", "seaborn", "pandas", "sklearn", "ipywidgets", "IPython"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, made as a release would be: from the source distribution.

    It is built from a copy, because building in place leaves files that later wheels would pick up.
    """
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("settings.ini", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(PACKAGE, source / "cifar_cnn", ignore=shutil.ignore_patterns("__pycache__"))
    # Without isolation, because an isolated build would download setuptools.
    output_of(sys.executable, "-m", "build", "--no-isolation", "--outdir", built, source)
    (path,) = built.glob("*.whl")
    return path


def test_wheel_holds_the_package(wheel):
    files = [path for pattern in ("*.py", "pretrained/*.pth", "pages/web/*.*", "pages/web/samples/*")
             for path in PACKAGE.glob(f"**/{pattern}")]
    shipped = [name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("cifar_cnn/")]
    assert sorted(shipped) == sorted(path.relative_to(ROOT).as_posix() for path in files)


def requirements_of(wheel):
    "The installed distributions that the wheel needs, directly or not, when none of its extras is asked for."
    (info,) = [folder for folder in zipfile.Path(wheel).iterdir() if folder.name.endswith(".dist-info")]
    waiting = [(text, "") for text in PathDistribution(info).requires]
    found = {}
    while waiting:
        text, wanted_extra = waiting.pop()
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": wanted_extra}):
            continue
        for extra in ("", *requirement.extras):
            if (requirement.name, extra) not in found:
                found[requirement.name, extra] = distribution(requirement.name)
                waiting += [(text, extra) for text in found[requirement.name, extra].requires or []]
    return found.values()


@pytest.fixture(scope="module")
def clean_bin(wheel, tmp_path_factory):
    """The commands of an environment that holds the wheel, what it requires, and nothing else.

    What it requires is linked from this environment, not downloaded; pip, which installs the wheel, then
    finds every requirement satisfied or fails. pip itself lives elsewhere.
    """
    tools, clean = tmp_path_factory.mktemp("tools"), tmp_path_factory.mktemp("clean")
    venv.create(tools, with_pip=True)
    venv.create(clean, symlinks=os.name != "nt")
    (packages,) = clean.glob("[Ll]ib/**/site-packages")
    for requirement in requirements_of(wheel):
        for top in {file.parts[0] for file in requirement.files} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(requirement.locate_file(top))
    scripts = "Scripts" if os.name == "nt" else "bin"
    # Whatever pip is told on this machine (constraints, an index) is not what is tested.
    alone = os.environ | {"PIP_CONFIG_FILE": os.devnull}
    command = [tools / scripts / "python", "-m", "pip", "--python", clean, "install", "--no-index", wheel]
    output_of(*command, env=alone)
    return clean / scripts


def test_wheel_works_without_the_dev_extra(clean_bin, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*command):
        return output_of(clean_bin / command[0], *command[1:], cwd=tmp_path, env=environment)

    # The environment is clean only if what develops the package is not in it.
    developing = ["nbdev", "fastcore", "jupyterlab", "pytest", "build", "fastapi"]
    found = "from importlib.util import find_spec; print([name for name in {} if find_spec(name)])"
    assert run("python", "-c", found.format(developing)).strip() == "[]"

    imports = "\n".join(f"import cifar_cnn.{name}" for name in MODULES if name not in NEED_AN_EXTRA)
    location = run("python", "-c", f"{imports}\nprint(cifar_cnn.__file__)").strip()
    assert Path(location).is_relative_to(clean_bin.parent)

    help_text = run("cifar-cnn", "--help")
    for command in ("data", "train", "evaluate", "predict", "serve", "dimensions"):
        assert command in help_text
