"""What a PRM was trained or calibrated for: its scores are probabilities of one generator's success at one temperature.

A PRM calibrated for one generator counts as uncalibrated for another until that has been measured, so a run with
another one is warned, and goes on.
"""

from dataclasses import dataclass
from pathlib import Path

from actors.engines.model_files import PRM_CONFIG_FILE, read_json
from records.failure import InvalidInput
from scaling.calibration.heads import PROBABILITY

SHOWN = 12
"""Characters of a hash in a message."""


@dataclass(frozen=True, slots=True)
class TrainedFor:
    """The generator of the data that a PRM was fitted to; None where it is not known.

    Attributes:
        generator: sha256 of its weights.
        temperature: that it was sampled at.
        calibrated: whether the head claims to be calibrated: it is of another kind than `probability`.
    """

    generator: str | None = None
    temperature: float | None = None
    calibrated: bool = False


def read_trained_for(model: Path) -> TrainedFor:
    """What prm_config.json says; nothing is known of a published PRM.

    Raises:
        InvalidInput: it says something that is no hash or no temperature.
    """
    file = model / PRM_CONFIG_FILE
    if not file.is_file():
        return TrainedFor()
    config = read_json(file)
    said, head = config.get("trained_for", {}), config.get("head", {})
    fits = (
        isinstance(said, dict)
        and isinstance(said.get("generator"), str | None)
        and isinstance(said.get("temperature"), float | int | None)
        and not isinstance(said.get("temperature"), bool)
    )
    if not fits:
        raise InvalidInput(
            f"{file}: trained_for is {said!r}; it names the `generator` by its sha256 and a `temperature`"
        )
    calibrated = isinstance(head, dict) and head.get("kind", PROBABILITY) != PROBABILITY
    return TrainedFor(said.get("generator"), said.get("temperature"), calibrated)


def generator_warnings(prm: str, trained_for: TrainedFor, generator: str, generator_sha256: str | None) -> list[str]:
    """A sentence if the generator is another.

    Args:
        prm: name of the PRM.
        trained_for: what it says of itself.
        generator: name of the generator.
        generator_sha256: of its weights; None where it is not known.
    """
    wanted = trained_for.generator
    if wanted is None:
        return [f"{prm} does not say for which generator it was calibrated"] if trained_for.calibrated else []
    if generator_sha256 in (None, wanted):
        return []
    was, is_now = wanted[:SHOWN], str(generator_sha256)[:SHOWN]
    sentence = (
        f"{prm} was trained for another generator ({was}) than {generator} ({is_now}): its scores are probabilities of "
        "that one's success; calibrate it"
    )
    return [sentence]


def temperature_warnings(prm: str, trained_for: TrainedFor, temperature: float) -> list[str]:
    """A sentence if samples are drawn at another temperature."""
    if trained_for.temperature in (None, temperature):
        return []
    sentence = (
        f"{prm} was trained for samples at temperature {trained_for.temperature:g}, and generator.temperature is "
        f"{temperature:g}: its scores are probabilities of success at the former; calibrate it"
    )
    return [sentence]
