"""Reading vLLM's counters from its server's Prometheus page."""

import re
from collections.abc import Mapping

from benchmarks.versus.passes import Tokens

_SAMPLE = re.compile(r"^(?P<name>[A-Za-z_:][\w:]*)(?:\{.*\})?\s+(?P<value>\S+)(?:\s+\d+)?$")

GENERATED = "vllm:generation_tokens_total"
PROMPT = "vllm:prompt_tokens_total"
CACHED = "vllm:prefix_cache_hits_total"
REQUESTS = "http_requests_total"


def parse_metrics(page: str) -> dict[str, float]:
    """Every sample's value, summed over its labels."""
    found: dict[str, float] = {}
    for line in page.splitlines():
        sample = None if line.startswith("#") else _SAMPLE.match(line.strip())
        if sample is not None:
            found[sample["name"]] = found.get(sample["name"], 0.0) + float(sample["value"])
    return found


def tokens_between(before: Mapping[str, float], after: Mapping[str, float]) -> Tokens:
    """What a generator's server did between two looks at its page.

    Raises:
        KeyError: the page does not have the counter of generated or of prompt tokens.
    """

    def grown(name: str) -> int:
        return round(after[name] - before.get(name, 0.0))

    return Tokens(generated=grown(GENERATED), prompt=grown(PROMPT), cached=grown(CACHED) if CACHED in after else 0)


def requests_between(before: Mapping[str, float], after: Mapping[str, float]) -> int:
    """HTTP requests between two looks, the looks not counted where the server leaves them out."""
    return round(after.get(REQUESTS, 0.0) - before.get(REQUESTS, 0.0))
