"""How a run is shown: `[report]`, what its page tells apart; `[loggers]`, where it stands beside others."""

from typing import Literal

from pydantic import field_validator

from jobs.recipes.section import Section, setting


class ReportSection(Section):
    """What a report tells apart."""

    by: tuple[str, ...] = setting(
        (),
        "Columns of the problem file by whose values accuracy is told: level, meta.subject. The table of problems "
        "carries them.",
        operational=True,
        silent=True,
        strict=False,
        max_length=16,
    )


class LoggersSection(Section):
    """Services that a run is told to; one that fails costs the run nothing."""

    kinds: tuple[Literal["wandb", "mlflow", "tensorboard"], ...] = setting(
        (), "Which: wandb, mlflow, tensorboard; their packages are to be installed.", operational=True, strict=False
    )
    project: str = setting("parsimony", "Project of W&B, experiment of MLflow.", operational=True, min_length=1)
    name: str | None = setting(
        None, "Of the run there; omitted: the last part of --output.", operational=True, min_length=1
    )
    folder: str = setting("tensorboard", "TensorBoard's, on the driver's machine.", operational=True, min_length=1)

    @field_validator("kinds")
    @classmethod
    def _once_each(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(kinds)) < len(kinds):
            raise ValueError("names one of them twice")
        return kinds

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None and (name in (".", "..") or "/" in name or "\\" in name):
            raise ValueError("must be a name, not a path")
        return name
