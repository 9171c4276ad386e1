"""Problems that compete under the run's cap, one window after another.

Samples go to the problem where they are worth most, so all that compete have to be open, and their questions read,
before the first sample is granted; and a window may spend its share of what is left, or the first one would eat all.
"""


def window_share(left_tokens: int, held_tokens: int, *, num_problems: int, num_left: int) -> int:
    """Tokens that a window may spend: in proportion to its problems, of what the problems that are left have together.

    Args:
        left_tokens: of the run's cap.
        held_tokens: what the window's problems were given in earlier epochs; it counts as theirs.
        num_problems: in the window.
        num_left: without a row, those of the window among them.
    """
    fair = (left_tokens + held_tokens) * num_problems // num_left
    return min(max(0, fair - held_tokens), left_tokens)


class Gathering:
    """Waits until `num_problems` are open and each has asked for a sample, or has ended without."""

    def __init__(self, num_problems: int = 0) -> None:
        self._num_to_open = num_problems
        self._reading: set[str] = set()

    @property
    def complete(self) -> bool:
        """Samples may be granted."""
        return self._num_to_open <= 0 and not self._reading

    def opened(self, problem_id: str) -> None:
        """A problem has begun."""
        if self._num_to_open > 0:
            self._num_to_open -= 1
            self._reading.add(problem_id)

    def ready(self, problem_id: str) -> None:
        """A problem asks for a sample, or has ended."""
        self._reading.discard(problem_id)
