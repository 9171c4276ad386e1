"""The examples in the docstrings of pure code are what it does."""

import doctest
import importlib
import io
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST_EXAMPLES = 40
"""So that a finder that finds nothing does not pass for examples that are right."""


def test_worked_examples_give_what_they_say() -> None:
    said = io.StringIO()
    num_tried = num_failed = 0
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner(verbose=False)
    for path in sorted(path for package in ("records", "scaling") for path in (ROOT / package).rglob("*.py")):
        if ">>>" not in path.read_text():
            continue  # finding out what a module has no examples of takes longer than running those of the others
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for example in finder.find(importlib.import_module(name)):
            failed, tried = runner.run(example, out=said.write)
            num_failed += failed
            num_tried += tried
    assert num_failed == 0, said.getvalue()
    assert num_tried >= LEAST_EXAMPLES
