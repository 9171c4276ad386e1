"""Whether a recipe's PRM was trained for its generator and temperature: small files say it, before models load."""

from collections.abc import Mapping

from actors.engines.prm.trained_for import generator_warnings, read_trained_for, temperature_warnings
from cluster.staging import stage_outline
from jobs.recipes.sections import Recipe
from jobs.recipes.settings import sampling
from records.run_folder.manifest import ModelIdentity


def trained_for_warnings(recipe: Recipe, models: Mapping[str, ModelIdentity]) -> tuple[str, ...]:
    """What the user should be told of the PRM, a sentence each; nothing where the strategy needs one of them only.

    Args:
        recipe: of the run.
        models: by role. A generator whose hash is not known yet is compared when the replicas introduce themselves.
    """
    generator, prm = models.get("generator"), models.get("prm")
    if generator is None or prm is None:
        return ()
    trained_for = read_trained_for(stage_outline(prm.model))
    return (
        *generator_warnings(prm.model, trained_for, generator.model, generator.model_sha256),
        *temperature_warnings(prm.model, trained_for, sampling(recipe).temperature),
    )
