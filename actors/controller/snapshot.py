"""How far a run is at one moment, from the parts that know: what the display shows and the heartbeat carries."""

from actors.controller.fleet import Fleet
from records.progress import Progress
from scaling.budget.time_caps import HeldCost
from scaling.scheduler.scheduler import Scheduler


def progress_now(
    visible: Progress,
    scheduler: Scheduler,
    fleet: Fleet,
    held: HeldCost,
    *,
    phase: str,
    num_begun: int,
    elapsed_s: float,
) -> Progress:
    """`visible`, brought up to now."""
    now = fleet.progress(visible) | {
        "phase": phase,
        "open_problems": num_begun,
        "generated_tokens": scheduler.ledger.spent_tokens,
        "usd": held.usd,
        "gpu_seconds": held.gpu_seconds,
        "elapsed_s": elapsed_s,
        "waiting_samples": scheduler.samples.num_waiting,
        "flying_samples": scheduler.samples.num_in_flight,
        "flying_tokens": fleet.flying_tokens,
        "flying_scores": scheduler.scores.num_in_flight,
    }
    return Progress(**now)
