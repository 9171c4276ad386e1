"""What `parsimony estimate` found: the keys of `estimate.json` and of `--json`. What is unknown is null, never zero."""

from dataclasses import dataclass

from jobs.estimation.advice import Advice
from records.run_folder.prediction import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyEstimate:
    """One strategy.

    Attributes:
        strategy: as it was written.
        run: the run that its pilot began.
        goes_on: the command that goes on with it.
        pilot_graded: problems of the pilot with a verdict; `pilot_right` of them are right.
        pilot_failed: problems of the pilot that failed, the first one with `first_error`.
        without: caps of the real run that the prediction leaves out.
        generators_per_prm: replicas of the one that keep one of the other as busy as themselves; None without a PRM.
        replicas: what the run takes, for each number of replicas asked for, or the recipe's.
    """

    strategy: str
    run: str
    goes_on: str
    pilot_graded: int
    pilot_right: int
    pilot_failed: int
    first_error: str | None
    without: tuple[str, ...]
    generators_per_prm: float | None
    replicas: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEstimate:
    """All that an estimate found: each strategy, and what follows for who wants an accuracy or has a budget."""

    problems: str
    num_problems: int
    pilot_problems: int
    strategies: tuple[StrategyEstimate, ...]
    advice: Advice
