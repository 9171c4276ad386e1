"""What a replica costs and draws: the price table, and the instances that the recipe names in `[cost]`.

A replica has its share of an instance: as many of its GPUs as it spans, or, without any, as many of its CPU cores as it
has threads. The machine that holds the driver, storage and traffic are not counted.
"""

import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator

from jobs.recipes.engines import EngineSection
from jobs.recipes.section import Section
from jobs.recipes.sections import Recipe
from records.failure import InvalidInput
from records.usage import Role
from scaling.budget.metering import ReplicaRate

SHIPPED_PRICES = Path(__file__).parents[2] / "cluster" / "prices.toml"


class Instance(Section):
    """A machine that can be rented: prices are in USD per hour of the whole of it."""

    name: str = Field(min_length=1)
    gpu: str | None = None
    num_gpus: int = Field(ge=0)
    num_cpus: int = Field(ge=1)
    usd_per_hour: float = Field(ge=0)
    spot_usd_per_hour: float | None = Field(None, ge=0)


class Device(Section):
    """What one GPU, or one CPU core, draws; `match` is looked for in the device's own name."""

    name: str
    match: str = Field(min_length=1)
    busy_watts: float = Field(ge=0)
    idle_watts: float = Field(ge=0)


class PriceTable(Section):
    """A file of prices (`cluster/prices.toml` says what is in it)."""

    dated: str
    currency: Literal["USD"]
    instance: tuple[Instance, ...] = Field(strict=False)
    device: tuple[Device, ...] = Field((), strict=False)

    @field_validator("dated")
    @classmethod
    def _date_is_one(cls, dated: str) -> str:
        return date.fromisoformat(dated).isoformat()

    @field_validator("instance")
    @classmethod
    def _names_are_unique(cls, instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
        names = [instance.name for instance in instances]
        if len(set(names)) < len(names):
            raise ValueError(f"an instance is there twice, among {', '.join(names)}")
        return instances

    def device_of(self, name: str) -> Device | None:
        """The device of that name; None for one that the table does not know. The longest match wins."""
        found = [device for device in self.device if device.match.lower() in name.lower()]
        return max(found, key=lambda device: len(device.match), default=None)


def load_prices(path: str | None) -> PriceTable:
    """A price table; the shipped one if `path` is None.

    Raises:
        InvalidInput: the file cannot be read, or is no price table.
    """
    file = Path(path) if path is not None else SHIPPED_PRICES
    try:
        table = PriceTable.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise InvalidInput(f"prices {file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        mistakes = [
            f"{file}: {'.'.join(str(part) for part in mistake['loc'])}: {mistake['msg']}" for mistake in error.errors()
        ]
        raise InvalidInput("\n".join(mistakes)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError) as error:
        raise InvalidInput(f"prices {file}: {error}") from error
    return table


def role_sections(recipe: Recipe) -> dict[Role, EngineSection]:
    """The engines that the recipe's strategy needs, by role."""
    sections: dict[Role, EngineSection] = {"generator": recipe.generator} if recipe.strategy.samples else {}
    if recipe.prm is not None and recipe.strategy.needs_prm:
        sections["prm"] = recipe.prm
    return sections


def gpus_per_replica(recipe: Recipe, *, on_gpus: bool) -> dict[Role, int]:
    """GPUs of a replica of each role in use; 0 on CPUs."""
    return {role: section.tensor_parallel_size if on_gpus else 0 for role, section in role_sections(recipe).items()}


def replica_rates(recipe: Recipe, prices: PriceTable, num_gpus: Mapping[Role, int]) -> dict[Role, ReplicaRate]:
    """What one replica of each role in use is, and costs where the recipe names its instance.

    Args:
        recipe: of the run.
        prices: of instances.
        num_gpus: of a replica of each role; 0 on CPUs.

    Raises:
        InvalidInput: an instance is not in the table, or has no price of that market, or not what a replica takes.
    """
    return {
        role: ReplicaRate(num_gpus[role], _usd_per_hour(role, recipe, prices, section, num_gpus[role]))
        for role, section in role_sections(recipe).items()
    }


def check_cost(recipe: Recipe) -> None:
    """Check the section `[cost]` before anything is started. Raises `InvalidInput`."""
    prices = load_prices(recipe.cost.prices)
    for role in role_sections(recipe):
        if instance_of(role, recipe, prices) is None and recipe.budget.total_usd is not None:
            raise InvalidInput(
                f"budget.total_usd caps what replicas cost, which nobody knows without cost.{role}_instance: name one "
                f"of {recipe.cost.prices or SHIPPED_PRICES.name} ({', '.join(one.name for one in prices.instance)})"
            )
    if recipe.cluster.device is not None:  # otherwise the cluster decides
        on_gpus = recipe.cluster.device == "gpu"
        check_gpu_cap(recipe, on_gpus=on_gpus)
        replica_rates(recipe, prices, gpus_per_replica(recipe, on_gpus=on_gpus))


def check_gpu_cap(recipe: Recipe, *, on_gpus: bool) -> None:
    """A cap on GPU-seconds needs replicas that hold GPUs. Raises `InvalidInput`."""
    if recipe.budget.total_gpu_seconds is not None and not on_gpus:
        raise InvalidInput(
            "budget.total_gpu_seconds caps how long GPUs are held, and these replicas run on CPUs: it would never be "
            "reached; leave it out, or set budget.total_usd or budget.deadline_s"
        )


def instance_of(role: Role, recipe: Recipe, prices: PriceTable) -> Instance | None:
    """The instance that the recipe names for a role; None where it names none. Raises `InvalidInput`."""
    key = f"cost.{role}_instance"
    name = recipe.cost.generator_instance if role == "generator" else recipe.cost.prm_instance
    if name is None:
        return None
    where = recipe.cost.prices or SHIPPED_PRICES.name
    known = {instance.name: instance for instance in prices.instance}
    if name not in known:
        raise InvalidInput(f"{key} = {name!r}: {where} has no such instance, but {', '.join(known)}; add it there")
    if recipe.cost.market == "spot" and known[name].spot_usd_per_hour is None:
        raise InvalidInput(f"{key} = {name!r}: {where} has no spot price of it; add spot_usd_per_hour there")
    return known[name]


def _usd_per_hour(
    role: Role, recipe: Recipe, prices: PriceTable, section: EngineSection, num_gpus: int
) -> float | None:
    instance = instance_of(role, recipe, prices)
    if instance is None:
        return None
    taken, there = (num_gpus, instance.num_gpus) if num_gpus else (section.cpu_threads, instance.num_cpus)
    if taken > there:
        kind = "GPUs" if num_gpus else "CPU cores"
        raise InvalidInput(f"cost.{role}_instance = {instance.name!r} has {there} {kind}, and a replica takes {taken}")
    usd = instance.spot_usd_per_hour if recipe.cost.market == "spot" else instance.usd_per_hour
    return None if usd is None else usd * taken / there
