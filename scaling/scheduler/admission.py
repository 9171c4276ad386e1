"""How much work open problems hold for the generators, so that as many are open as the engines need, and no more.

    demand    samples that wait or are in flight
              + what problems that wait for no sample will ask for next, as others did in their place
              + scores that wait for a PRM with room: where the PRMs are the slow ones, more problems would only pile up

At the barrier of a step a problem counts only with the samples that it still waits for, so others are opened ahead and
take the slots that it leaves idle.
"""

from dataclasses import dataclass

from scaling.scheduler.dispatch import Dispatcher
from scaling.scheduler.open_search import OpenSearch
from scaling.search.tasks import SampleTask, ScoreTask

UNKNOWN_SAMPLES = 8
"""Taken to be what a problem asks for at a time where nobody says, until some have asked."""


@dataclass(slots=True)
class _Asked:
    """Problems in one place that have gone on, and the samples that they asked for together; none where they ended."""

    num_problems: int
    num_samples: int
    num_quiet: int = 0

    @property
    def expected(self) -> float:
        """Of the problems that are in this place now."""
        return self.num_quiet * self.num_samples / self.num_problems


class Admission:
    """The samples that open problems have asked for, and will.

    Args:
        samples_at_once: what a problem asks for at a time, as far as the strategy says so.

    Attributes:
        num_paths: steps that open problems have come to: what they hold in memory.
    """

    def __init__(self, samples_at_once: int | None = None) -> None:
        known = samples_at_once or UNKNOWN_SAMPLES
        self._first, self._later = _Asked(1, known), _Asked(1, known)
        self.num_paths = 0

    def wants_more(self, samples: Dispatcher[SampleTask], scores: Dispatcher[ScoreTask]) -> bool:
        """Another problem should be opened to keep the generators' batches full, or the PRMs' where nobody samples."""
        if not samples.capacity:
            return scores.num_waiting + scores.num_in_flight < max(1, scores.capacity)
        expected = self._first.expected + self._later.expected
        return samples.num_waiting + samples.num_in_flight + expected + scores.num_waiting < samples.capacity

    def opened(self, opened: OpenSearch) -> None:
        """A problem has begun, or goes on."""
        self._first.num_quiet += 1
        opened.num_paths = len(opened.search.steps)
        self.num_paths += opened.num_paths

    def asked(self, opened: OpenSearch, num_samples: int) -> None:
        """A problem asks for so many samples."""
        if num_samples and not opened.num_samples:
            self._goes_on(opened, num_samples)
        opened.num_samples += num_samples
        opened.has_sampled = opened.has_sampled or num_samples > 0

    def answered(self, opened: OpenSearch, num_steps: int = 0) -> None:
        """One of a problem's samples has come, of so many steps, or was denied."""
        self.num_paths += num_steps
        opened.num_paths += num_steps
        opened.num_samples -= 1
        if not opened.num_samples:
            self._place(opened).num_quiet += 1

    def concluded(self, opened: OpenSearch) -> None:
        """A problem has ended."""
        self.num_paths -= opened.num_paths
        if not opened.num_samples:
            self._goes_on(opened, 0)

    def _goes_on(self, opened: OpenSearch, num_samples: int) -> None:
        place = self._place(opened)
        place.num_quiet -= 1
        place.num_problems += 1
        place.num_samples += num_samples

    def _place(self, opened: OpenSearch) -> _Asked:
        return self._later if opened.has_sampled else self._first
