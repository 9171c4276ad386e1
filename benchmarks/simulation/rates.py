"""How fast an engine is, by the size of its batch: measured values, and straight lines between them.

A file of rates is JSON, {"token_s": {"1": 0.013, "64": 0.026}, "prefill_tokens_per_s": 10000}: batch
size -> seconds until each call in it has one token more, and prompt tokens computed in a second; `source` may say more.
"""

import json
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from records.failure import InvalidInput


@dataclass(frozen=True, slots=True)
class EngineRates:
    """Of one engine.

    Attributes:
        token_s: calls in the batch -> seconds until each of them has one token more.
        prefill_tokens_per_s: tokens of prompts that are computed in a second, while nothing is sampled.
        source: where the numbers are from.
    """

    token_s: Mapping[int, float]
    prefill_tokens_per_s: float
    source: str

    def by_batch(self, num_slots: int) -> list[float]:
        """Seconds per token for every size of the batch from 0 to `num_slots`, the ends continued."""
        sizes = sorted(self.token_s)
        return [self._at(size, sizes) for size in range(num_slots + 1)]

    def _at(self, size: int, sizes: list[int]) -> float:
        if len(sizes) == 1:
            return self.token_s[sizes[0]]
        above = min(max(1, bisect_left(sizes, size)), len(sizes) - 1)
        low, high = sizes[above - 1], sizes[above]
        slope = (self.token_s[high] - self.token_s[low]) / (high - low)
        return max(min(self.token_s.values()), self.token_s[low] + slope * (size - low))


RATES = {
    "gpu-8b": EngineRates(
        {1: 0.0133, 8: 0.0161, 64: 0.0263},
        10_000.0,
        "8B in bfloat16 on one A100: 75 tokens/s for one call and 6.6 times as many for 8 (published sweep of vLLM); "
        "for 64 and for prefill what memory bandwidth and arithmetic leave, 2,430 and 10,000 tokens/s",
    ),
}
"""By name. A PRM only prefills."""


def rates_of(name: str) -> EngineRates:
    """Of a name in `RATES`, or of a file.

    Raises:
        InvalidInput: neither, or a file that is not as above.
    """
    if name in RATES:
        return RATES[name]
    file = Path(name)
    if not file.is_file():
        raise InvalidInput(f"--rates {name}: neither {', '.join(RATES)} nor a file of rates (JSON)")
    try:
        found = json.loads(file.read_text())
        token_s = {int(size): float(seconds) for size, seconds in found["token_s"].items()}
        rates = EngineRates(token_s, float(found["prefill_tokens_per_s"]), str(found.get("source", file)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"--rates {name}: needs token_s by batch size and prefill_tokens_per_s ({error!r})"
        ) from error
    if not token_s or min(token_s) < 1 or min(*token_s.values(), rates.prefill_tokens_per_s) <= 0:
        raise InvalidInput(f"--rates {name}: token_s and prefill_tokens_per_s must be above 0, of batches from 1")
    return rates
