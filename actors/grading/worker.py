"""The process that grades, one answer at a time, until its input ends. `actors.grading.grader` starts it, may kill it.

    parent                                            this process
                      <--  {"ready": true}            the grader is loaded
      {"answer", "reference"}  -->
                      <--  {"correct": true | false}  or  {"error": "ValueError: ..."}
      {"left", "right"}        -->                      two answers of one problem: are they the same?
                      <--  likewise
      (end of input)  -->                             exits

One JSON text per line. The pipes are out of the grader's reach: what it prints goes to standard error. It runs in the
main thread, every signal at its default, and no clock of ours runs here: the deadline is the parent's, by SIGKILL.
"""

import argparse
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO

from actors.grading.algebra import needs_algebra, same_by_algebra
from scaling.answers.canonical import exact_equal
from scaling.answers.choices import choice_equal
from scaling.answers.equivalence import same_answer
from scaling.answers.numeric import numeric_equal
from scaling.answers.references import reference_mistake
from scaling.answers.verdict import is_right

Compare = Callable[[str, str], bool]
"""(answer, reference) -> correct, or (answer, answer) -> the same. It raises where it cannot tell."""

MAX_ERROR_CHARS = 500
"""Of an error's text, which may quote the whole answer."""

_PR_SET_PDEATHSIG = 1


def load_compare(name: str) -> tuple[Compare, Compare]:
    """The grader of that name, for keys and for other answers: one of `_BUILT_IN`, or "module:function" for both.

    Raises:
        ValueError: no such grader.
        TypeError: the module has no such function. A user's module may raise anything else.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    module_name, colon, function_name = name.partition(":")
    if not colon:
        raise ValueError(f"no grader is called {name!r}: it is one of {', '.join(_BUILT_IN)}, or module:function")
    compare = getattr(importlib.import_module(module_name), function_name, None)
    if not callable(compare):
        raise TypeError(f"{module_name!r} has no function {function_name!r}")
    checked = _checked(compare, name)
    return checked, checked


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


def _or_by_algebra(compare: Compare) -> Compare:
    def compared(left: str, right: str) -> bool:
        return compare(left, right) or (needs_algebra(left, right) and same_by_algebra(left, right))

    return compared


_BUILT_IN: dict[str, tuple[Compare, Compare]] = {
    "math-verify": (_or_by_algebra(is_right), _or_by_algebra(same_answer)),
    "exact": (_with_usable_key("exact", exact_equal), exact_equal),
    "numeric": (_with_usable_key("numeric", numeric_equal), numeric_equal),
    "multiple-choice": (_with_usable_key("multiple-choice", choice_equal), choice_equal),
}
"""Name -> how an answer is compared with a key, and how two answers are."""


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
        is_correct, is_same = load_compare(arguments.grader)
    except Exception as error:  # noqa: BLE001  # importing the user's module runs the user's code
        _send(replies, {"error": _described(error)})
        return
    _send(replies, {"ready": True})
    for line in requests:
        request = json.loads(line)
        try:
            if "left" in request:
                verdict = is_same(request["left"], request["right"])
            else:
                verdict = is_correct(request["answer"], request["reference"])
            reply: dict[str, object] = {"correct": verdict}
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
