"""The loggers that a recipe names: looked for before a model is loaded, made where the run is driven."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jobs.loggers.run_loggers import RunLogger, Settings
from jobs.recipes.sections import Recipe
from records.failure import InvalidInput

LOGGER_PACKAGES = {"wandb": "wandb", "mlflow": "mlflow", "tensorboard": "tensorboardX"}
"""Kind -> the package that it needs."""


def check_loggers(recipe: Recipe) -> None:
    """Look for the packages.

    Raises:
        InvalidInput: one is not installed.
    """
    for kind in recipe.loggers.kinds:
        if find_spec(LOGGER_PACKAGES[kind]) is None:
            raise InvalidInput(
                f"loggers.kinds: {kind} needs the package {LOGGER_PACKAGES[kind]}, which is not installed here: "
                f"pip install {'mlflow-skinny' if kind == 'mlflow' else LOGGER_PACKAGES[kind]}, or leave it out"
            )


def make_loggers(recipe: Recipe, run: str) -> dict[str, RunLogger]:
    """The clients by name; nothing is asked of any service yet.

    Args:
        recipe: of the run.
        run: its address, whose last part names it where the recipe does not.
    """
    section, made = recipe.loggers, dict[str, RunLogger]()
    name = section.name or run.rstrip("/").rpartition("/")[2]
    for kind in section.kinds:
        if kind == "wandb":
            from jobs.loggers.wandb_logger import WandbLogger

            made[kind] = WandbLogger(section.project, name)
        elif kind == "mlflow":
            from jobs.loggers.mlflow_logger import MlflowLogger

            made[kind] = MlflowLogger(section.project, name)
        else:
            from jobs.loggers.tensorboard_logger import TensorBoardLogger

            made[kind] = TensorBoardLogger(Path(section.folder), name)
    return made


def told_settings(recipe: Recipe) -> Settings:
    """What a recipe says, by dotted key."""
    return dict(_flat("", recipe.model_dump(mode="json")))


def _flat(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [one for key, inner in value.items() for one in _flat(f"{prefix}.{key}" if prefix else key, inner)]
    return [(prefix, value if value is None or isinstance(value, str | int | float) else str(value))]
