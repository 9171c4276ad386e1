"""What a PRM was made for: its scores are probabilities of the success of one generator, drawn from in one way.

A PRM calibrated for one generator counts as uncalibrated for another until that has been measured, so a run with
another one is warned, and goes on.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from actors.engines.model_files import PRM_CONFIG_FILE, read_json
from records.bounded import quoted
from records.calls import Sampling
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
        sampling: what else decided how its tokens were drawn: settings of `[generator]` that were not at their default.
        calibrated: whether the head claims to be calibrated: it is of another kind than `probability`.
    """

    generator: str | None = None
    temperature: float | None = None
    sampling: Mapping[str, object] | None = None
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
        and isinstance(said.get("sampling"), dict | None)
    )
    if not fits:
        raise InvalidInput(
            f"{file}: trained_for is {quoted(repr(said))}; it names the `generator` by its sha256, a `temperature`, "
            "and with `sampling` what else decided how tokens were drawn"
        )
    calibrated = isinstance(head, dict) and head.get("kind", PROBABILITY) != PROBABILITY
    return TrainedFor(said.get("generator"), said.get("temperature"), said.get("sampling"), calibrated)


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


def sampling_warnings(prm: str, trained_for: TrainedFor, sampling: Sampling) -> list[str]:
    """A sentence for each way in which samples are drawn otherwise."""
    was: dict[str, object] = {} if trained_for.temperature is None else {"temperature": trained_for.temperature}
    now: dict[str, object] = {"temperature": sampling.temperature} if was else {}
    if trained_for.sampling is not None:
        was, now = was | dict(trained_for.sampling), now | sampling.beside_temperature
    neutral: dict[str, object] = {field.name: field.default for field in fields(Sampling)}
    neutral |= {"stop": [], "logit_bias": {}}
    sides = {key: (was.get(key, neutral.get(key)), now.get(key, neutral.get(key))) for key in was.keys() | now.keys()}
    return [
        f"{prm} was trained for samples with {key} {_told(before)}, and generator.{key} is {_told(after)}: its scores "
        "are probabilities of success with the former; calibrate it"
        for key, (before, after) in sorted(sides.items())
        if before != after
    ]


def _told(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
