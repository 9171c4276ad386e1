r"""What takes a computer algebra system: sums, products, integrals and limits, whose value no rule of ours computes.

Only what `scaling.answers` has read as a whole comes here, so that nothing that math-verify's parser would leave out is
in it. Runs in the grader's process: it may take for ever.
"""

from functools import cache
from typing import Any

from scaling.answers.reading import Kind, Reading
from scaling.answers.verdict import read_stated


def needs_algebra(left: str, right: str) -> bool:
    """Whether both answers are mathematics, and one has an operator that is only compared as it is written."""
    readings = read_stated(left), read_stated(right)
    nodes = [reading.node for reading in readings if reading.kind is Kind.MATHEMATICS]
    known = [node for node in nodes if node is not None and not node.has("dots")]
    return len(known) == 2 and any(node.has("big") for node in known)


def same_by_algebra(left: str, right: str) -> bool:
    """Whether math-verify (sympy) finds two answers equal; what it does not read as mathematics is different."""
    parsed = [_parsed(read_stated(text)) for text in (left, right)]
    if any(isinstance(one, str) or one is None for one in parsed):
        return False
    verify = _math_verify()[1]
    return bool(verify([parsed[0]], [parsed[1]], timeout_seconds=None, raise_on_error=True))


def _parsed(reading: Reading) -> Any:
    found = _math_verify()[0](f"${reading.text}$", parsing_timeout=None, raise_on_error=True)
    return found[0] if found else None


@cache
def _math_verify() -> tuple[Any, Any]:
    """Loaded for the first answer that needs it: sympy takes a second."""
    import logging  # noqa: PLC0415

    from math_verify import parse, verify  # noqa: PLC0415

    # It warns that nobody watches the time. Its own timeouts need signal.alarm, and do not stop what runs in C.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    return parse, verify
