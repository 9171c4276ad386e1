"""The energy that replicas' devices take, by the watts of the price table: as predicted, and of a run as it was."""

from collections.abc import Mapping

import numpy as np

from jobs.recipes.sections import Recipe
from jobs.scoring.cost import Device, PriceTable, gpus_per_replica, instance_of, load_prices, role_sections
from records.failure import InvalidInput
from records.run_folder.reader import Run
from records.usage import Role, last_by_epoch
from scaling.budget.metering import ROLES
from scaling.estimation.cost_model import Power, kwh


def replica_power(recipe: Recipe, prices: PriceTable, num_gpus: Mapping[Role, int]) -> dict[Role, Power] | None:
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


def _device(role: Role, recipe: Recipe, prices: PriceTable, num_gpus: int) -> Device | None:
    """What a replica runs on: on CPUs a core; a GPU is known by the instance that the recipe names."""
    if num_gpus == 0:
        return prices.device_of("cpu")
    instance = instance_of(role, recipe, prices)
    return prices.device_of(instance.gpu) if instance is not None and instance.gpu is not None else None
