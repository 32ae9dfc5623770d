"""What strangers get: source distribution and wheel, in an environment that holds nothing else."""

import subprocess
import sys
import tarfile

import pytest

from tests.imports import ROOT
from tests.test_docs import BLOCK

pytestmark = pytest.mark.long

EVERY_NAME = """
import importlib, pathlib, sys
import tfp_iaf

assert "site-packages" in tfp_iaf.__file__, tfp_iaf.__file__
assert pathlib.Path(tfp_iaf.__file__).with_name("py.typed").exists()
rooms = [name for name in tfp_iaf.__all__ if isinstance(getattr(tfp_iaf, name), type(sys))]
for module in [tfp_iaf, *(importlib.import_module(f"tfp_iaf.{room}") for room in rooms)]:
    for name in module.__all__:
        getattr(module, name)
"""


def run(*command, cwd, **kwargs):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=900, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(distributions, tmp_path_factory):
    """The interpreter of an environment into which the wheel was installed, with what its metadata ask for."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", f"{distributions[1]}[examples]", cwd=folder)
    # Without this checkout's PYTHONPATH.
    return ["env", "-u", "PYTHONPATH", "TF_CPP_MIN_LOG_LEVEL=3", python]


def test_every_public_name_imports(python, tmp_path):
    run(*python, "-c", EVERY_NAME, cwd=tmp_path)


def test_every_block_of_the_readme_runs(python, tmp_path):
    blocks = [match[1] for match in BLOCK.finditer((ROOT / "README.md").read_text())]
    assert len(blocks) >= 2
    (tmp_path / "readme.py").write_text("\n".join(blocks))
    run(*python, "readme.py", cwd=tmp_path)


def test_an_example_runs_from_the_source_distribution(distributions, python, tmp_path):
    with tarfile.open(distributions[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    run(*python, "examples/train_vae.py", "--smoke", cwd=folder)
    assert (folder / "runs" / "vae" / "iaf" / "samples.png").exists()


def test_an_index_shows_the_readme_without_links_that_lead_nowhere(distributions):
    with tarfile.open(distributions[0]) as archive:
        name = next(name for name in archive.getnames() if name.count("/") == 1 and name.endswith("PKG-INFO"))
        text = archive.extractfile(name).read().decode()
    assert "](https://arxiv.org/abs/1606.04934)" in text
    assert "](docs/" not in text and "](benchmarks/" not in text
