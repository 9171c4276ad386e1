"""What replicas have delivered to one scheduler, by kind: whether it ends in a row or not."""

from dataclasses import dataclass

from records.calls import Sampled, Scored


@dataclass(slots=True)
class Counts:
    """Sums over delivered results.

    Attributes:
        samples: expansions finished.
        scores: calls to a PRM finished.
        generated_tokens: sampled.
        prompt_tokens: of the generator's prompts, cached ones included.
        cached_tokens: of those, found in the prefix cache.
        prm_tokens: of the PRM's inputs, cached ones included.
        prm_cached_tokens: of those, found in the PRM's prefix cache.
        truncated: PRM inputs that were over-long and cut.
        longest_sample_s: the longest time that a sample took at its replica, waiting there included.
        longest_score_s: likewise for a scoring call.
    """

    samples: int = 0
    scores: int = 0
    generated_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    prm_tokens: int = 0
    prm_cached_tokens: int = 0
    truncated: int = 0
    longest_sample_s: float = 0.0
    longest_score_s: float = 0.0

    def sampled(self, result: Sampled) -> None:
        """Count one delivered sample."""
        self.samples += 1
        self.generated_tokens += result.generated_tokens
        self.prompt_tokens += result.prompt_tokens
        self.cached_tokens += result.cached_tokens
        self.longest_sample_s = max(self.longest_sample_s, result.queued_s + result.run_s)

    def scored(self, result: Scored) -> None:
        """Count one delivered score."""
        self.scores += 1
        self.prm_tokens += result.prm_tokens
        self.prm_cached_tokens += result.cached_tokens
        self.truncated += result.truncated
        self.longest_score_s = max(self.longest_score_s, result.queued_s + result.run_s)
