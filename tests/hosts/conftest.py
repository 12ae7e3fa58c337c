"""The built wheel, installed in a virtual environment that has nothing else of this checkout."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

PROJECT = Path(__file__).parents[2]
CONSTRAINTS = PROJECT / ".ci" / "constraints.txt"

Run: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by hatchling without pip's build environment, which would need the network."""
    directory = tmp_path_factory.mktemp("wheel")
    succeeded([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)])
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def host_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel, psycopg's binary and pytest."""
    directory = tmp_path_factory.mktemp("environment") / "venv"
    return environment(directory, f"{wheel}[pytest]", "psycopg[binary]")


@pytest.fixture(scope="session")
def run(host_python: Path) -> Run:
    """``run("-m", "pytest", cwd=…, NAME="value")``: the environment's Python in a directory.

    Nothing of this checkout is on its path.
    """

    def run(*arguments: str, cwd: Path, **more: str) -> "subprocess.CompletedProcess[str]":
        return completed([str(host_python), *arguments], cwd=cwd, environment=more)

    return run


def environment(directory: Path, *requirements: str) -> Path:
    """Make a virtual environment with the requirements and what they need; its interpreter."""
    succeeded([sys.executable, "-m", "venv", "--without-pip", str(directory)])
    install = [sys.executable, "-m", "pip", "--python", str(directory), "install", "--quiet"]
    # Compiling everything takes longer than what the tests import.
    install.append("--no-compile")
    pinned = ["-c", str(CONSTRAINTS)] if CONSTRAINTS.exists() else []
    succeeded([*install, *pinned, *requirements])
    return directory / "bin" / "python"


def completed(
    command: list[str], *, cwd: Path, environment: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """The ended process, without the variables that would change what Python does in it."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PY")}
    return subprocess.run(  # noqa: S603 - no shell; our own argument list
        command,
        cwd=cwd,
        env={**ours, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def succeeded(command: list[str], cwd: Path = PROJECT) -> str:
    """What the command prints; raises ``AssertionError`` with its output if it fails."""
    done = completed(command, cwd=cwd, environment={})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
