"""Versions of the packages that matter for bug reports, and what is said about versions that were not tested."""

import re
from importlib import metadata

from ripu_ray.errors import first_line

TESTED = {
    "ray": "2.60.0",
    "torch": "2.13.0",
    "numpy": "2.4.6",
    "pandas": "3.1.1",
    "pyarrow": "26.0.1",
    "pillow": "13.0.0",
    "pydantic": "2.14.3",
    "typer": "0.29.2",
    "wandb": "0.31.0",
}
"""Package -> version in constraints.txt; tests/test_packaging.py compares them."""


def installed(package: str) -> str | None:
    """The installed version, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def describe(package: str) -> str:
    """One line: the installed version of a package of `TESTED`, and how it differs from the tested one."""
    found, tested = installed(package), TESTED[package]
    if found is None:
        return f"{package} is not installed"
    if _numbers(found) == _numbers(tested):
        return f"{package} {found}"
    return f"{package} {found}, {'newer' if _numbers(found) > _numbers(tested) else 'older'} than tested ({tested})"


def private_use(package: str, read: str, error: BaseException) -> str:
    """One line for a private interface that another version of a package does not have.

    Args:
        package: distribution.
        read: version in whose source the interface was found.
        error: what happened instead.
    """
    return (
        f"{package} {installed(package)} has no interface that ripu-ray knows from version {read} "
        f"({first_line(error)}); install {package} {read}: pip install --constraint constraints.txt {package}"
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])[:3]))
