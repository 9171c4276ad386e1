"""What a replica costs and draws: the price table, and the instances that the recipe names in `[cost]`.

A replica has its share of an instance: as many of its GPUs as it spans, or, without any, as many of its CPU cores as it
has threads. The machine that holds the driver, storage and traffic are not counted.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError, field_validator

from jobs.recipes.engines import SCRIPTED, EngineSection
from jobs.recipes.section import Section
from jobs.recipes.sections import Recipe
from records.bounded import MAX_TOML_BYTES, parse_toml, read_file
from records.failure import InvalidInput
from records.run_folder.reader import Run
from records.usage import Role, last_by_epoch
from scaling.budget.metering import ROLES, ReplicaRate
from scaling.estimation.cost_model import Power, kwh

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
    """What one GPU has and draws, or one CPU core; `match` is looked for in the device's own name."""

    name: str
    match: str = Field(min_length=1)
    memory_gib: float | None = Field(None, gt=0)
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
        table = PriceTable.model_validate(parse_toml(read_file(file, MAX_TOML_BYTES)))
    except OSError as error:
        raise InvalidInput(f"prices {file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        mistakes = [
            f"{file}: {'.'.join(str(part) for part in mistake['loc'])}: {mistake['msg']}" for mistake in error.errors()
        ]
        raise InvalidInput("\n".join(mistakes)) from error
    except ValueError as error:
        raise InvalidInput(f"prices {file}: {error}") from error
    return table


def role_sections(recipe: Recipe) -> dict[Role, EngineSection]:
    """The engines that the recipe's strategy needs, by role."""
    sections: dict[Role, EngineSection] = {"generator": recipe.generator} if recipe.strategy.samples else {}
    if recipe.prm is not None and recipe.strategy.needs_prm:
        sections["prm"] = recipe.prm
    return sections


def gpus_per_replica(recipe: Recipe, *, on_gpus: bool) -> dict[Role, float]:
    """GPUs of a replica of each role in use, or its share of one; 0 on CPUs, and of a stand-in."""
    return {role: _num_gpus(section, on_gpus=on_gpus) for role, section in role_sections(recipe).items()}


def _num_gpus(section: EngineSection, *, on_gpus: bool) -> float:
    if not on_gpus or section.kind == SCRIPTED:
        return 0
    return section.tensor_parallel_size if section.gpu_fraction is None else section.gpu_fraction


def replica_rates(recipe: Recipe, prices: PriceTable, num_gpus: Mapping[Role, float]) -> dict[Role, ReplicaRate]:
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
    holds_gpus = any(gpus_per_replica(recipe, on_gpus=on_gpus).values())
    if recipe.budget.total_gpu_seconds is not None and not holds_gpus:
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


def replica_power(recipe: Recipe, prices: PriceTable, num_gpus: Mapping[Role, float]) -> dict[Role, Power] | None:
    """What a replica of each role draws; None where the device of one is unknown."""
    power: dict[Role, Power] = {}
    for role, section in role_sections(recipe).items():
        device = _device(role, recipe, prices, num_gpus[role])
        if device is None:
            return None
        number = num_gpus[role] or section.cpu_threads
        power[role] = Power(device.busy_watts * number, device.idle_watts * number)
    return power


def run_kwh(run: Run, recipe: Recipe) -> float | None:
    """What a run has taken up to its last commit, in all epochs; None where that is unknown.

    `recipe` is what the run was begun with: what a resume changed of its replicas is not known, and a run without a row
    does not tell whether it has GPUs. The price table is read as it is now; one that cannot be read here, because the
    run comes from elsewhere, says nothing of its devices.
    """
    if not run.totals.problems:
        return None
    try:
        prices = load_prices(recipe.cost.prices)
        power = replica_power(recipe, prices, gpus_per_replica(recipe, on_gpus=run.totals.gpu_seconds is not None))
    except InvalidInput:
        return None
    usages = last_by_epoch(run.log.usages).values()
    if power is None or not usages:
        return None
    held = {role: np.asarray(sum(usage.held_s(role) for usage in usages)) for role in ROLES if role in power}
    busy = {role: np.asarray(sum(usage.busy_s(role) for usage in usages)) for role in held}
    return float(kwh(held, busy, power))


def _usd_per_hour(
    role: Role, recipe: Recipe, prices: PriceTable, section: EngineSection, num_gpus: float
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


def _device(role: Role, recipe: Recipe, prices: PriceTable, num_gpus: float) -> Device | None:
    """What a replica runs on: on CPUs a core; a GPU is known by the instance that the recipe names."""
    if num_gpus == 0:
        return prices.device_of("cpu")
    instance = instance_of(role, recipe, prices)
    return prices.device_of(instance.gpu) if instance is not None and instance.gpu is not None else None
