"""The built wheel in a virtual environment that contains nothing else from this checkout."""

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
    """Build the wheel with hatchling: the build environment of pip would need the network."""
    directory = tmp_path_factory.mktemp("wheel")
    check_output([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)])
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def host_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment with the wheel, psycopg's binary and pytest."""
    directory = tmp_path_factory.mktemp("environment") / "venv"
    return create_environment(directory, f"{wheel}[pytest]", "psycopg[binary]")


@pytest.fixture(scope="session")
def run(host_python: Path) -> Run:
    """Return a function that runs the environment's Python in a directory.

    ``run("-m", "pytest", cwd=…, NAME="value")`` sets the environment variable ``NAME``. The
    import path contains nothing from this checkout.
    """

    def run(*arguments: str, cwd: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
        return run_command([str(host_python), *arguments], cwd=cwd, environment=variables)

    return run


def create_environment(directory: Path, *requirements: str) -> Path:
    """Create a virtual environment with the requirements and return its interpreter."""
    check_output([sys.executable, "-m", "venv", "--without-pip", str(directory)])
    install = [sys.executable, "-m", "pip", "--python", str(directory), "install", "--quiet"]
    # Compiling every module takes longer than compiling the few that the tests import.
    install.append("--no-compile")
    pinned = ["-c", str(CONSTRAINTS)] if CONSTRAINTS.exists() else []
    check_output([*install, *pinned, *requirements])
    return directory / "bin" / "python"


def run_command(
    command: list[str], *, cwd: Path, environment: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run the command without this process's ``PY…`` variables, which would affect its Python."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PY")}
    return subprocess.run(  # noqa: S603 - no shell; our own argument list
        command,
        cwd=cwd,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def check_output(command: list[str], cwd: Path = PROJECT) -> str:
    """Return what the command prints; raise ``AssertionError`` with its output if it fails."""
    done = run_command(command, cwd=cwd, environment={})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
