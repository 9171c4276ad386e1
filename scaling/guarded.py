"""A strategy of the user's own, held to the contract: what is wrong with it fails its problem, never the run.

    user's generator --> what it yields, checked --> request --> run
                     <-- reply, its paths noted  <------------------
                     --> what it returns, checked --> choice

Whatever it raises, yields or returns that the contract does not have is a `StrategyFailed` with a sentence that says
what and why. Paths are known by their node: a strategy continues and scores what it was given, or copies of it, and
nothing of its own making.
"""

import math
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any

from records.failure import StrategyFailed
from records.path import Path, PrmScore
from records.request import Deliver, Expand, Next, Reply, Score, Scoring, Until
from scaling.strategy import Choice, PrefixTrials, Request, Strategy

MAX_CHILDREN = 2**20
"""Samples, or paths to score, of one request."""
MAX_TOKENS = 2**31 - 1
"""The largest bound on tokens that a request may have."""
MAX_EMPTY_REPLIES = 1000
"""Replies without a path, one after the other: whoever asks on after so many never ends."""
MAX_MESSAGE = 2000
"""Characters of an error that are kept."""


def guarded(function: Callable[..., object], name: str, root: Path, **arguments: Any) -> Strategy:
    """The strategy that `function` begins at `root`.

    Args:
        function: a generator function as in `scaling.strategy`.
        name: for messages, as `module:function`.
        root: of the problem.
        arguments: passed on.

    Raises:
        StrategyFailed: it raised, or yielded or returned what the contract does not have; also when it is closed and
            does not end.
    """
    user = _User(function, name, root, arguments)
    try:
        return (yield from _conducted(user, _KnownPaths(root)))
    except StrategyFailed as failed:
        if (fault := user.closed()) is not None:
            raise StrategyFailed(f"{failed}; {fault}") from failed
        raise
    except GeneratorExit:
        if (fault := user.closed()) is not None:
            raise StrategyFailed(fault) from None
        raise


def _conducted(user: "_User", known: "_KnownPaths") -> Strategy:
    """Between the user's generator and whoever drives it, with an eye on what goes either way."""
    reply: Reply | None = None
    num_empty = 0
    while True:
        yielded = user.asked(reply)
        if isinstance(yielded, _Returned):
            user.must("returned", _fault_of_choice(yielded.value, known))
            choice: Choice = yielded.value
            return choice
        user.must("yielded", _fault_of_request(yielded, known))
        request: Request = yielded
        reply = yield request
        known.note(reply.paths)
        if reply.paths:
            num_empty = num_empty if isinstance(request, Score) else 0
        elif (num_empty := num_empty + 1) > MAX_EMPTY_REPLIES:
            raise StrategyFailed(f"{user.name} goes on asking after {MAX_EMPTY_REPLIES} replies with nothing")


class _Returned:
    """What a strategy's function returned."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _User:
    """The user's generator: each entry into their code is a boundary, so any error may come back."""

    def __init__(self, function: Callable[..., object], name: str, root: Path, arguments: dict[str, Any]) -> None:
        self.name = name
        self._function, self._root, self._arguments = function, root, arguments
        self._strategy: Generator[Any, Reply, Any] | None = None
        self._ended = False

    def asked(self, reply: Reply | None) -> Any:
        """What it yields after this reply (None: at its beginning), or what it `_Returned`."""
        try:
            if self._strategy is None:
                self._strategy = self._begun()
            return next(self._strategy) if reply is None else self._strategy.send(reply)
        except StopIteration as stop:
            self._ended = True
            return _Returned(stop.value)
        except (StrategyFailed, KeyboardInterrupt):
            raise
        except BaseException as error:  # sys.exit() and asyncio.CancelledError among them: none may end the run
            self._ended = True
            raise StrategyFailed(f"{self.name} raised {described(error)}") from error

    def _begun(self) -> Generator[Any, Reply, Any]:
        begun = self._function(self._root, **self._arguments)
        if not isinstance(begun, Generator):
            raise StrategyFailed(f"{self.name} is no generator: it returned {_kind(begun)} and yielded nothing")
        return begun

    def closed(self) -> str | None:
        """End it where it stands; what went wrong on its way out, as when it yields instead, or None."""
        if self._strategy is None or self._ended:
            return None
        self._ended = True
        try:
            self._strategy.close()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 (as above)
            return f"{self.name}, when it was closed, raised {described(error)}"
        return None

    def must(self, verb: str, fault: str | None) -> None:
        """Refuse what it yielded or returned, if there is a fault."""
        if fault is not None:
            raise StrategyFailed(f"{self.name} {verb} {fault}")


class _KnownPaths:
    """The paths that a strategy was given, by node; those on the way to them are known too."""

    def __init__(self, root: Path) -> None:
        self._by_node = {root.node_id: root}

    def note(self, paths: Iterable[Path]) -> None:
        """Take in the paths of a reply."""
        for leaf in paths:
            node: Path | None = leaf
            while node is not None and node.node_id not in self._by_node:
                self._by_node[node.node_id] = node
                node = node.parent

    def fault_of(self, path: object) -> str | None:
        """Why this is no path that the strategy was given; None where it is one."""
        if type(path) is not Path:
            return f"where a Path should be: {_kind(path)}"
        known = self._by_node.get(path.node_id) if type(path.node_id) is int else None
        if known is path:
            return None
        if known is None or path.text != known.text or path.token_ids != known.token_ids:
            return f"a path of its own making (node {path.node_id!r:.40}): only paths that came in replies can be used"
        parents = path.parent, known.parent
        if parents[0] is not parents[1] and getattr(parents[0], "node_id", None) != getattr(
            parents[1], "node_id", None
        ):
            return f"a path of its own making: node {path.node_id} has another parent"
        return None


def _fault_of_request(request: object, known: _KnownPaths) -> str | None:
    if type(request) is Score:
        return _in("Score.paths", _fault_of_paths(request.paths, known))
    if type(request) is Next:
        return None
    if type(request) is not Expand:
        return f"{_kind(request)}, not a request: an Expand, a Score or a Next from records.request"
    if type(request.forced_text) is not str or not _is_unicode(request.forced_text):
        return _in("Expand.forced_text", f"must be text, is {_kind(request.forced_text)}")
    return _fault_of_parents(request.parents, known) or _fault_of_bounds(request)


def _fault_of_paths(paths: object, known: _KnownPaths) -> str | None:
    if type(paths) is not tuple:
        return f"must be a tuple of paths, is {_kind(paths)}"
    if len(paths) > MAX_CHILDREN:
        return f"has {len(paths)} paths; at most {MAX_CHILDREN}"
    return next((fault for path in paths if (fault := known.fault_of(path)) is not None), None)


def _fault_of_parents(parents: object, known: _KnownPaths) -> str | None:
    where = "Expand.parents"
    if type(parents) is not tuple:
        return _in(where, f"must be a tuple of (path, num_samples) pairs, is {_kind(parents)}")
    total = 0
    for pair in parents:
        if type(pair) is not tuple or len(pair) != 2:
            return _in(where, f"must hold (path, num_samples) pairs, has {_kind(pair)}")
        path, num_samples = pair
        if (fault := known.fault_of(path)) is not None:
            return _in(where, fault)
        if path.finished:
            return _in(where, f"node {path.node_id} is finished: nothing can follow it")
        if type(num_samples) is not int or num_samples < 0:
            return _in(where, f"num_samples must be a whole number from 0, is {_kind(num_samples)}")
        total += num_samples
    return _in(where, f"asks for {total} samples; at most {MAX_CHILDREN} at a time") if total > MAX_CHILDREN else None


def _fault_of_bounds(request: Expand) -> str | None:
    for name, article, kind in (("until", "an", Until), ("scoring", "a", Scoring), ("deliver", "a", Deliver)):
        value = getattr(request, name)
        if type(value) is not kind:
            return _in(f"Expand.{name}", f"must be {article} {kind.__name__}, is {_kind(value)}")
    counts = [("max_tokens", request.max_tokens, 1), ("top_logprobs", request.top_logprobs, 0)]
    bounds = [(name, getattr(request, name), 1) for name in ("max_path_tokens", "max_thought_tokens")]
    counts += [bound for bound in bounds if bound[1] is not None]
    for name, value, least in counts:
        if type(value) is not int or not least <= value <= MAX_TOKENS:
            return _in(f"Expand.{name}", f"must be a whole number from {least}, is {_kind(value)}")
    temperature, priority = request.temperature, request.priority
    if temperature is not None and (not _is_number(temperature) or not 0 <= temperature < math.inf):
        return _in("Expand.temperature", f"must be a number from 0, is {_kind(temperature)}")
    if priority is not None and (not _is_number(priority) or math.isnan(priority)):
        return _in("Expand.priority", f"must be a number, is {_kind(priority)}")
    return None


def _fault_of_choice(choice: object, known: _KnownPaths) -> str | None:
    if type(choice) is not Choice:
        return f"{_kind(choice)}, not a scaling.strategy.Choice"
    if choice.path is not None and (fault := known.fault_of(choice.path)) is not None:
        return _in("Choice.path", fault)
    if choice.answer is not None and (type(choice.answer) is not str or not _is_unicode(choice.answer)):
        return _in("Choice.answer", f"must be text or None, is {_kind(choice.answer)}")
    if (fault := _fault_of_paths(choice.candidates, known)) is not None:
        return _in("Choice.candidates", fault)
    if choice.answer_p is not None and not _is_probability(choice.answer_p):
        return _in("Choice.answer_p", f"must be a PrmScore within [0, 1], is {_kind(choice.answer_p)}")
    return _in("Choice.prefixes", _fault_of_prefixes(choice.prefixes, known))


def _fault_of_prefixes(prefixes: object, known: _KnownPaths) -> str | None:
    if type(prefixes) is not tuple:
        return f"must be a tuple, is {_kind(prefixes)}"
    for trials in prefixes:
        if type(trials) is not PrefixTrials or type(trials.num_trajectories) is not int:
            return f"must hold PrefixTrials, has {_kind(trials)}"
        fault = known.fault_of(trials.path) or _fault_of_paths(trials.continuations, known)
        if fault is not None:
            return fault
    return None


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _is_probability(score: object) -> bool:
    if type(score) is not PrmScore:
        return False
    quantiles = (score.lower, score.median, score.upper)
    return all(type(value) in (int, float) and 0 <= value <= 1 for value in quantiles)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which no file takes
        return False
    return True


def _in(where: str, fault: str | None) -> str | None:
    return None if fault is None else f"{where}: {fault}"


def _kind(value: object) -> str:
    """What something is, in few words: its type, and its value where that is short and harmless to ask for."""
    plain = value is None or type(value) in (bool, int, float, str)
    shown = ascii(value) if plain and not (type(value) is int and abs(value) > MAX_TOKENS) else ""
    return f"{shown[:60]} ({type(value).__name__})" if shown and value is not None else shown or type(value).__name__


def described(error: BaseException) -> str:
    """An error of a user's code: its type, what it says, and the line of their function at which it arose."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 (their own __str__ may be wrong too)
        said = "(it cannot say what)"
    where = _line_of(error.__traceback__)
    text = f"{type(error).__name__}: {said[:MAX_MESSAGE]}{f' ({where})' if where else ''}"
    return text.encode("utf-8", "backslashreplace").decode()


def _line_of(trace: TracebackType | None) -> str:
    """The line of the user's own function, the first below ours: "search.py, line 12"; "" if it did not get there."""
    entry = trace.tb_next if trace is not None else None
    while entry is not None and entry.tb_frame.f_code.co_filename == __file__:
        entry = entry.tb_next
    if entry is None:
        return ""
    file = entry.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{file}, line {entry.tb_lineno}"
