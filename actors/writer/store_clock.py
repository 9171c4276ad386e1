"""One clock for all who hold or want a run: that of its store.

Machines disagree by minutes. A lease says when its holder was last alive, and another machine decides by it whether the
holder is dead: both go by the store's clock, each by its own difference to it.
"""

import time
from collections.abc import Callable

from records.failure import StoreFailed
from records.run_folder.store import Store

REFRESH_S = 300.0
"""The difference is measured again after that: machines sleep, and clocks are set."""


class StoreClock:
    """Seconds since 1970 by a store's clock; asked at first and every `REFRESH_S`, counted on in between.

    Args:
        store: whose clock it is.
        monotonic: counts on.
    """

    def __init__(self, store: Store, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store, self._monotonic = store, monotonic
        self._asked: tuple[float, float] | None = None

    def __call__(self) -> float:
        """Seconds now. Raises `StoreFailed` only while the store has never answered."""
        here_s = self._monotonic()
        if self._asked is None or here_s - self._asked[1] > REFRESH_S:
            try:
                self._asked = self._store.now_s(), self._monotonic()
            except StoreFailed:
                if self._asked is None:
                    raise
        there_s, then_s = self._asked
        return there_s + self._monotonic() - then_s
