"""The metadata are in pyproject.toml. Here is what needs code: the README as a package index shows it."""

import pathlib
import re

from setuptools import setup

README = pathlib.Path(__file__).with_name("README.md").read_text(encoding="utf-8")

setup(
    # An index has no other files of the project: pictures go, and links to files become plain text.
    long_description=re.sub(r"(!?)\[([^\]]*)\]\((?!https?:)[^)]*\)", lambda link: "" if link[1] else link[2], README),
    long_description_content_type="text/markdown",
)
