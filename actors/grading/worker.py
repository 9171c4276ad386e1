"""The process that grades, one answer at a time, until its input ends. `actors.grading.grader` starts it, may kill it.

    parent                                            this process
                      <--  {"ready": true}            the grader is loaded
      {"answer", "reference"}  -->
                      <--  {"correct": true | false}  or  {"error": "ValueError: ..."}
      (end of input)  -->                             exits

One JSON text per line. The pipes are out of the grader's reach: what it prints goes to standard error. It runs in the
main thread, every signal at its default, and no clock of ours runs here: the deadline is the parent's, by SIGKILL.
"""

import argparse
import ctypes
import importlib
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO

from scaling.answers.choices import choice_equal
from scaling.answers.extract import exact_equal, extract_answer, numeric_equal
from scaling.answers.references import reference_mistake

Compare = Callable[[str, str], bool]
"""(answer, reference) -> correct. It raises where it cannot tell."""

MAX_ERROR_CHARS = 500
"""Of an error's text, which may quote the whole answer."""

_PR_SET_PDEATHSIG = 1


def load_compare(name: str) -> Compare:
    """The grader of that name: one of `_BUILT_IN`, or "module:function".

    Raises:
        ValueError: no such grader.
        TypeError: the module has no such function. A user's module may raise anything else.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    module_name, colon, function_name = name.partition(":")
    if not colon:
        raise ValueError(f"no grader is called {name!r}: it is one of {', '.join(_BUILT_IN)}, or module:function")
    compare = getattr(importlib.import_module(module_name), function_name, None)
    if not callable(compare):
        raise TypeError(f"{module_name!r} has no function {function_name!r}")
    return _checked(compare, name)


def _checked(compare: Callable[[str, str], object], name: str) -> Compare:
    def checked(answer: str, reference: str) -> bool:
        verdict = compare(answer, reference)
        if verdict not in (True, False):  # lets numpy's booleans, 0 and 1 through, but neither None nor 0.7
            raise ValueError(f"{name} returned {verdict!r}, which is not a yes or no")
        return bool(verdict)

    return checked


def _with_usable_key(name: str, compare: Compare) -> Compare:
    def compared(answer: str, reference: str) -> bool:
        mistake = reference_mistake(name, reference)
        if mistake is not None:
            raise ValueError(mistake)
        return compare(answer, reference)

    return compared


def _math_verify() -> Compare:
    from math_verify import parse, verify  # noqa: PLC0415  # sympy: only where it is asked for

    # It warns that nobody watches the time. Its own timeouts need signal.alarm, and do not stop what runs in C.
    logging.getLogger("math_verify").setLevel(logging.ERROR)

    def read(answer: str) -> list[object]:
        inner = extract_answer(answer) or answer if "\\boxed" in answer else answer
        bare = inner.replace("\\$", "").replace("$", "")
        parsed: list[object] = parse(f"${bare}$", parsing_timeout=None, raise_on_error=True)
        return parsed

    def math_verify(answer: str, reference: str) -> bool:
        if exact_equal(answer, reference):
            return True  # also what is no mathematics: \text{Evelyn} is Evelyn
        gold = read(reference)
        if not gold:
            raise ValueError("math-verify cannot read the reference")
        return bool(verify(gold, read(answer), timeout_seconds=None, raise_on_error=True))

    return math_verify


_BUILT_IN: dict[str, Callable[[], Compare]] = {
    "math-verify": _math_verify,
    "exact": lambda: _with_usable_key("exact", exact_equal),
    "numeric": lambda: _with_usable_key("numeric", numeric_equal),
    "multiple-choice": lambda: _with_usable_key("multiple-choice", choice_equal),
}


def main() -> None:
    """Load the grader, say so, and grade line by line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("grader")
    parser.add_argument("--memory-bytes", type=int)
    arguments = parser.parse_args()
    requests, replies = _private_pipes()
    _die_with_parent()
    if arguments.memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (arguments.memory_bytes, arguments.memory_bytes))
    try:
        compare = load_compare(arguments.grader)
    except Exception as error:  # noqa: BLE001  # importing the user's module runs the user's code
        _send(replies, {"error": _described(error)})
        return
    _send(replies, {"ready": True})
    for line in requests:
        request = json.loads(line)
        try:
            reply: dict[str, object] = {"correct": compare(request["answer"], request["reference"])}
        except Exception as error:  # noqa: BLE001  # the boundary: whatever a grader raises is data, "not graded"
            reply = {"error": _described(error)}
        _send(replies, reply)


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move the parent's pipes away from 0 and 1, so that a grader neither reads requests nor prints into replies."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return requests, replies


def _die_with_parent() -> None:
    """End of input stops an idle worker only; one that is stuck in a grader is stopped by the kernel (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS]


def _send(replies: BinaryIO, reply: dict[str, object]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


if __name__ == "__main__":
    main()
