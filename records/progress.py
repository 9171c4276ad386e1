"""How far a run is: what the controller says of itself, the display shows and the heartbeat carries."""

from dataclasses import dataclass

from records.jsonio import added
from records.usage import Role

ROLE_PLURALS: dict[Role, str] = {"generator": "generators", "prm": "PRMs"}


def waiting_text(role: Role, *, num_ready: int, num_wanted: int, kind: str) -> str:
    """What replicas of a role wait for that no node has room for; `kind` is that of the nodes, "" for any.

    >>> waiting_text("generator", num_ready=2, num_wanted=8, kind="generator_slot")
    '2 of 8 generators, waiting for nodes of kind generator_slot'
    """
    return f"{num_ready} of {num_wanted} {ROLE_PLURALS[role]}, waiting for nodes{f' of kind {kind}' if kind else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A snapshot of a run.

    Attributes:
        phase: what is going on, in a word or two.
        total_problems: of the input; in a pilot, those that have a row at its end.
        done_problems: with a visible row, earlier epochs included; the next three are part of them.
        failed_problems: ended as failed.
        exhausted_problems: ended with the budget.
        graded: with a verdict.
        correct: with a good one.
        finished_samples: of visible rows: samples that came to their end.
        unanswered_samples: of these, those that state no answer.
        open_problems: begun and not yet visible.
        generated_tokens: spent so far, lost ones and those of open problems included; likewise the other tokens.
        prompt_tokens: of visible rows.
        cached_tokens: of visible rows.
        prm_tokens: of visible rows.
        total_tokens_cap: the run's cap on generated tokens; None for none.
        elapsed_s: since this controller began.
        replicas_ready: generators and PRMs that are up.
        replicas_wanted: generators and PRMs that should be.
        replicas_lost: deaths so far.
        waiting_samples: expansions that wait for a replica or a grant.
        flying_samples: expansions at a generator.
        flying_scores: calls at a PRM.
        flying_tokens: that generators have made so far for expansions at them; in `generated_tokens` once these end.
        usd: what the replicas' time has cost, start-up and idle time included; None without prices.
        total_usd_cap: the run's cap on it; None for none.
        gpu_seconds: GPUs times the seconds that they were held, likewise; None without GPUs.
        total_gpu_seconds_cap: likewise.
        replicas_waiting: of those that should be up, the ones that no node has room for yet.
        waiting: what for, in words; "" where none waits.
    """

    phase: str
    total_problems: int
    done_problems: int
    failed_problems: int
    exhausted_problems: int
    graded: int
    correct: int
    open_problems: int
    generated_tokens: int
    prompt_tokens: int
    cached_tokens: int
    prm_tokens: int
    total_tokens_cap: int | None
    elapsed_s: float
    replicas_ready: int
    replicas_wanted: int
    replicas_lost: int
    waiting_samples: int = 0
    flying_samples: int = 0
    flying_scores: int = 0
    usd: float | None = None
    total_usd_cap: float | None = None
    gpu_seconds: float | None = None
    total_gpu_seconds_cap: float | None = None
    finished_samples: int = added(2, 0)
    unanswered_samples: int = added(2, 0)
    flying_tokens: int = added(2, 0)
    replicas_waiting: int = added(2, 0)
    waiting: str = added(2, "")

    @property
    def made_tokens(self) -> int:
        """Generated so far, also for samples in flight."""
        return self.generated_tokens + self.flying_tokens
