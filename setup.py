"""Only the long description: the README, with links that work away from the repository, too."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent


def long_description() -> str:
    """The README; its relative pictures and links point into Repository of pyproject.toml."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    home = project["urls"]["Repository"].removesuffix("/").removesuffix(".git")
    home = home if "/tree/" in home else f"{home}/tree/main"  # else a tag, for a live workshop
    relative = r"(!?)(\[[^\]]*\])\((?!\w+:|#)([^)\s]+)\)"

    def absolute(found: re.Match) -> str:
        kind = "/raw/" if found[1] else "/blob/"
        return f"{found[1]}{found[2]}({home.replace('/tree/', kind)}/{found[3]})"

    return re.sub(relative, absolute, (HERE / "README.md").read_text(encoding="utf-8"))


setup(long_description=long_description(), long_description_content_type="text/markdown")
