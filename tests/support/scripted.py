"""The arithmetic example's recipes on scripted engines: everything real but the models.

score(make_plan(options(..., *SCRIPTED)))                # in this process
Driver(run, "score", *SCORE, *sets(*SCRIPTED))           # on a command line
sets(*SCRIPTED, "script.tokens_per_s=400")               # slow enough to be met half-way
"""

from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples/arithmetic"
KINDS = ("generator.kind=scripted", "prm.kind=scripted")
SCRIPTED = (*KINDS, f"script.answers={EXAMPLE / 'test.jsonl'}")
"""Settings."""


def sets(*settings: str) -> list[str]:
    """The words that give them to a command."""
    return [word for setting in settings for word in ("--set", setting)]
