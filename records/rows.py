"""The rows of the tables; a field is a column. None is null, and null is never zero."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a problem ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    BUDGET_EXHAUSTED = "budget_exhausted"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemRow:
    """One row per problem.

    Attributes:
        status: how it ended.
        error: why it failed; null otherwise.
        answer: the chosen final answer as extracted from the chosen path; null if there is none.
        correct: the grader's verdict; null without an answer key, or where the grader failed or timed out.
        answer_p_lower: PRM quantiles of the chosen path (`answer_p_median`, `answer_p_upper` alike), or all three the
            posterior probability of the answer given all samples, where it has one; null if unscored.
        num_samples: children sampled.
        num_steps: step rows.
        generated_tokens: sampled tokens, pruned ones included.
        prompt_tokens: prefix tokens of all generator calls, cached ones included.
        cached_tokens: of those, found in the prefix cache.
        pruned_tokens: generated tokens that no candidate for the answer contains.
        prm_tokens: PRM input tokens, cached ones included.
        prm_cached_tokens: of those, found in the PRM's prefix cache.
        flops: 2 x parameters x computed (not cached) tokens, of generator and PRM.
        gpu_seconds: of those replica-seconds; null without a GPU.
        usd: likewise; null without a price.
        p_lower: PRM quantiles of the bare question (`p_median`, `p_upper` alike); null if not asked for.
        wall_seconds: from admission to the last reply, in the epoch that finished it.
        strategy: its name in the recipe.
        abstained: the run does not stand by the answer, which stays in `answer`; null where it never abstains.
        question: of the input; with it and `reference` a run can be read, graded and exported without its input.
        reference: the answer key; null where the input has none.
        generator_seconds: its part of the time that the run held generators, in replica-seconds (`prm_seconds` alike):
            what their calls in flight took, idle time and start-up shared out, so that all rows add up to the run's.
        num_finished: samples that came to their end; null in runs from before there was this column.
        num_unanswered: of these, those that state no answer; null likewise.
        num_cancelled: of `num_samples`, those that the strategy needed no more when they were under way; null likewise.
        cancelled_tokens: that were generated for these, a part of `pruned_tokens`; null likewise.
        columns: other columns of the input, name and value as text; null where the recipe carries none.
        thinking_tokens: generated tokens of thoughts, their marks included; null where the recipe tells no thoughts,
            and in runs from before there was this column.
        answer_tokens: the other generated tokens; null likewise.
        num_unfinished_thoughts: samples that ended within a thought; they state no answer. Null likewise.
        num_closed_thoughts: samples of which the budget of thinking closed a thought; null likewise.
        num_prolonged_thoughts: samples of which an end of a thought came too early and was replaced; null likewise.
    """

    problem_id: str
    status: Status
    error: str | None
    answer: str | None
    correct: bool | None
    answer_p_lower: float | None
    answer_p_median: float | None
    answer_p_upper: float | None
    num_samples: int
    num_steps: int
    generated_tokens: int
    prompt_tokens: int
    cached_tokens: int
    pruned_tokens: int
    prm_tokens: int
    prm_cached_tokens: int
    flops: float
    gpu_seconds: float | None
    usd: float | None
    p_lower: float | None
    p_median: float | None
    p_upper: float | None
    wall_seconds: float
    strategy: str
    abstained: bool | None
    question: str
    reference: str | None
    generator_seconds: float
    prm_seconds: float
    num_finished: int | None = None
    num_unanswered: int | None = None
    columns: tuple[tuple[str, str | None], ...] | None = None
    thinking_tokens: int | None = None
    answer_tokens: int | None = None
    num_unfinished_thoughts: int | None = None
    num_closed_thoughts: int | None = None
    num_prolonged_thoughts: int | None = None
    num_cancelled: int | None = None
    cancelled_tokens: int | None = None


@dataclass(slots=True, kw_only=True)
class StepRow:
    """One row per sampled step; a sample to the end is as many rows as it has steps. Nobody changes a row.

    Not frozen, because there is no row that is made as often, and a frozen one of so many columns takes four times as
    long.

    Attributes:
        request: number of the request within the problem that sampled it.
        node_id: number within the problem; the root (0) has no row.
        parent_id: the node that it continues.
        depth: number of steps up to and including this one.
        logprob_sum: nats; null where the engine gave none.
        token_confidences: minus the mean log-probability of the likeliest tokens, per token; null where not asked.
        sampled_logprob_sum: nats, under the distribution drawn from; null where not asked, or more than the temperature
            shapes it.
        finish_reason: a `FinishReason`; "forced": not sampled but put there, and the next step is what a probe said.
        p_lower: PRM quantiles of the path that ends here (`p_median`, `p_upper` alike); null if the request that
            sampled it did not ask for them. What a later "score" request says stands in its own row.
        generated_tokens: sampled in this step; 0 in a forced one.
        prompt_tokens: of the generator call, on the first step of its sample; 0 on the others.
        cached_tokens: of those, found in the prefix cache.
        prm_tokens: PRM input tokens spent on this sample, on the last step that it scored; 0 on the others.
        prm_cached_tokens: of those, found in the PRM's prefix cache.
        prm_truncated: the PRM's input was over-long and cut by its stated policy before it was scored.
        seed: of the sample.
        replica: generator replica that sampled it.
        prm_replica: PRM replica that scored it; null if unscored.
        queued_seconds: generator queue time of the sample.
        run_seconds: generator time of the sample.
        answer: of the last step of a finished sample: what it states, as extracted; empty where it states nothing; null
            on other steps, and in runs from before there was this column.
        answer_class: what that answer is counted as: one text for all answers of the problem that are the same.
        thinking_tokens: generated tokens of thoughts, their marks included; null where the recipe tells no thoughts,
            and in runs from before there was this column.
        answer_tokens: the other generated tokens; null likewise.
        thought_chars: of `text`; what follows them is of the answer. Null likewise.
        thought_open: a thought goes on where the step ends; null likewise.
        thought_closed: the budget of thinking has closed a thought in it; null likewise.
        thought_prolonged: ends of thoughts in it that came too early and were replaced; null likewise.
    """

    problem_id: str
    request: int
    node_id: int
    parent_id: int
    depth: int
    text: str
    token_ids: tuple[int, ...]
    logprob_sum: float | None
    token_confidences: tuple[float, ...] | None
    sampled_logprob_sum: float | None
    finish_reason: str
    p_lower: float | None
    p_median: float | None
    p_upper: float | None
    generated_tokens: int
    prompt_tokens: int
    cached_tokens: int
    prm_tokens: int
    prm_cached_tokens: int
    prm_truncated: bool
    seed: int
    replica: str
    prm_replica: str | None
    queued_seconds: float
    run_seconds: float
    answer: str | None = None
    answer_class: str | None = None
    thinking_tokens: int | None = None
    answer_tokens: int | None = None
    thought_chars: int | None = None
    thought_open: bool | None = None
    thought_closed: bool | None = None
    thought_prolonged: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """One row per strategy request and its reply: with the steps, the journal that resume and replay read.

    Attributes:
        request: number within the problem, from 0.
        request_hash: of the request's content; a replayed strategy must ask for the same.
        kind: "expand", "score", "next" (child of an earlier "expand"), or "cancel": samples never delivered.
        node_ids: the parents to expand, or the paths to score.
        num_samples: per parent; empty for "score".
        until: an `Until`; null for "score".
        max_tokens: per child; null for "score".
        scoring: a `Scoring`; null for "score".
        temperature: of the samples, 0 being greedy; null for the run's sampling, and for "score".
        granted_tokens: per child in child order, the `max_tokens` that the ledger granted (0: not granted).
        reply_kind: a `ReplyKind`.
        child_ids: leaf node of each delivered child, in child order; empty for "score".
        p_lower: PRM quantiles as delivered, per delivered path (`p_median`, `p_upper` alike); elements may be null.
        prm_tokens: of a "score" request; 0 for "expand", whose step rows carry them.
        prm_cached_tokens: likewise.
        prm_truncated: some input of a "score" request was over-long and cut; false for "expand", likewise.
        worth: expected gain per expected token by which samples of different problems are ranked; null where nobody
            ranks them.
        forced_text: put behind each parent before its children were sampled; null where nothing was.
        child_numbers: of children that come one by one, the number of each within the request of its steps; else null.
        num_open: children that might still be delivered after this reply; null likewise.
    """

    problem_id: str
    request: int
    request_hash: str
    kind: str
    node_ids: tuple[int, ...]
    num_samples: tuple[int, ...]
    until: str | None
    max_tokens: int | None
    scoring: str | None
    temperature: float | None
    granted_tokens: tuple[int, ...]
    reply_kind: str
    child_ids: tuple[int, ...]
    p_lower: tuple[float | None, ...]
    p_median: tuple[float | None, ...]
    p_upper: tuple[float | None, ...]
    prm_tokens: int
    prm_cached_tokens: int
    prm_truncated: bool
    worth: float | None
    forced_text: str | None = None
    child_numbers: tuple[int, ...] | None = None
    num_open: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRow:
    """One row per distinct prefix of a problem's trajectories: how often continuations of it are right.

    Two prefixes are the same if their token ids are. The bare question is a prefix; so is a finished solution
    (`terminal`), whose one trial is its own outcome.

    Attributes:
        node_id: the prefix' last step in the problem's tree (`steps`); 0 is the bare question.
        question: of the problem.
        steps: texts of the prefix' steps, each with its separator: what a PRM reads.
        token_ids: of all steps, in the generator's vocabulary.
        depth: number of steps.
        terminal: nothing can follow: the trajectory ends here.
        num_trajectories: trajectories that pass through the prefix.
        successes: continuations whose answer is right, Z.
        trials: continuations that were graded, N; fewer than asked for where the budget ran out or a grader failed.
        cut_trials: of those, cut at a token limit before they ended; they count as they were graded, mostly wrong.
        generator: sha256 of the generator's weights; null where it has none.
        temperature: of trajectories and continuations.
        sampling: what else decided how their tokens were drawn, as JSON: settings of `[generator]` that were not at
            their default; null in runs that did not say.
        generated_tokens: of the continuations; 0 for a terminal one.
        prompt_tokens: of the continuations' calls, cached ones included.
        cached_tokens: of those, found in the prefix cache.
    """

    problem_id: str
    node_id: int
    question: str
    steps: tuple[str, ...]
    token_ids: tuple[int, ...]
    depth: int
    terminal: bool
    num_trajectories: int
    successes: int
    trials: int
    cut_trials: int
    generator: str | None
    temperature: float
    generated_tokens: int
    prompt_tokens: int
    cached_tokens: int
    sampling: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRecord:
    """Rows of a problem that has not ended: whole requests with the steps that they delivered, in order.

    What a writer is given is what came since the last time; what a resume reads is all there is.
    """

    problem_id: str
    steps: tuple[StepRow, ...]
    requests: tuple[RequestRow, ...]

    @property
    def generated_tokens(self) -> int:
        """Tokens that were generated for all steps."""
        return sum(step.generated_tokens for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemRecord:
    """The row of a finished problem, those of its steps and requests that are not written yet, and its rollouts."""

    problem: ProblemRow
    steps: tuple[StepRow, ...]
    requests: tuple[RequestRow, ...]
    rollouts: tuple[RolloutRow, ...] = ()
