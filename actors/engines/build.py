"""Which engine serves a replica: the one place that chooses by `kind`."""

from actors.engines.protocol import GeneratorEngine, PrmEngine
from actors.engines.scripted.engines import ScriptedGenerator, ScriptedPrm
from actors.engines.serving.vllm_generator import VllmGenerator
from actors.engines.serving.vllm_prm import VllmPrm
from actors.engines.settings import GeneratorSettings, PrmSettings


def build_generator(settings: GeneratorSettings) -> GeneratorEngine:
    """Load the generator; blocks until it is up."""
    return ScriptedGenerator(settings) if settings.kind == "scripted" else VllmGenerator(settings)


def build_prm(settings: PrmSettings) -> PrmEngine:
    """Load the PRM; blocks until it is up."""
    return ScriptedPrm(settings) if settings.kind == "scripted" else VllmPrm(settings)
