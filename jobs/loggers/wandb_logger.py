"""Weights & Biases: one W&B run for one run folder, gone on with on resume; `WANDB_MODE=offline` writes files only."""

import hashlib
from collections.abc import Mapping
from typing import Any

from jobs.loggers.run_loggers import Settings


class WandbLogger:
    """A run of a project. Key, entity and mode are W&B's own settings, from its environment and files.

    Args:
        project: of W&B.
        name: of the run.
    """

    def __init__(self, project: str, name: str) -> None:
        self._project, self._name = project, name
        self._run: Any = None

    def begin(self, settings: Settings, run: str) -> None:
        """Begin the W&B run, or go on with the one of that address."""
        import wandb

        self._run = wandb.init(
            project=self._project,
            name=self._name,
            id=hashlib.sha256(run.encode()).hexdigest()[:16],
            resume="allow",
            config={**settings, "run": run},
            settings=wandb.Settings(console="off", silent=True, x_disable_stats=True),
        )

    def progress(self, elapsed_s: float, values: Mapping[str, float]) -> None:
        """A point on every curve."""
        self._run.log({**values, "elapsed_s": elapsed_s})

    def finish(self, values: Mapping[str, float], *, finished: bool) -> None:
        """Put the last numbers into the summary, and end."""
        self._run.summary.update({**values, "finished": finished})
        self._run.finish()
