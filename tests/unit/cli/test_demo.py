"""The steps of the demo fit into the width of the terminal."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from domain.cli.demo import _Reporter


@pytest.mark.parametrize(("width", "lines"), [(100, 1), (50, 2), (30, 3)])
def test_step_is_never_wider_than_the_terminal(width: int, lines: int) -> None:
    file = io.StringIO()
    reporter = _Reporter(Console(file=file, width=width), "en")
    with reporter.step("storing") as facts:
        facts += ["여름방학 집중 학습 플랜", "4 contents"]
    printed = file.getvalue().splitlines()
    assert len(printed) == lines
    assert max(map(cell_len, printed)) <= width
    assert printed[0].startswith(" › storing the example …")
    assert " ".join(printed).rstrip().endswith("ms")
