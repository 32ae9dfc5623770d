"""Installation of tfp_iaf."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "tfp_iaf" / "__init__.py").read_text()).group(1)

EXAMPLES = ["matplotlib", "scikit-learn"]

setup(
    name="tfp_iaf",
    version=VERSION,
    description="Inverse autoregressive flows for TensorFlow Probability and Keras 3.",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["tfp_iaf", "tfp_iaf.*"]),
    python_requires=">=3.10",
    install_requires=[
        "absl-py",
        "keras>=3.8",
        "numpy",
        "tensorflow>=2.18",
        "tensorflow-probability[tf]>=0.25",
    ],
    extras_require={
        "examples": EXAMPLES,
        "docs": [*EXAMPLES, "furo", "myst-nb", "sphinx", "sphinx-copybutton"],
        "test": [*EXAMPLES, "pytest", "pytest-xdist", "ruff"],
        "gpu": ["tensorflow[and-cuda]>=2.18"],
    },
)
