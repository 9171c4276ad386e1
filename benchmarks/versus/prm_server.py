r"""The PRM behind HTTP, for peers that are clients: our engine class, which scores all paths of a request at once.

python -m benchmarks.versus.prm_server SETTINGS PORT

POST /score   {"question": "...", "solutions": ["step\n\nstep", ...]} -> {"scores": [float, ...]}, in order
GET /counts   {"tokens": int, "cached": int, "paths": int, "requests": int}, since the start
GET /health   {} as soon as the model is loaded
"""

import asyncio
import sys
from collections.abc import Sequence

from aiohttp import web

from actors.engines.build import build_prm
from actors.engines.formats import path_ids
from actors.engines.protocol import PrmEngine
from actors.engines.settings import PrmSettings
from benchmarks.versus.processes import be_as_polite_as_replicas, read_settings

SEPARATOR = "\n\n"


class PrmServer:
    """Scores solutions, and counts what the engine was given."""

    def __init__(self, engine: PrmEngine) -> None:
        self._engine = engine
        self._counts = {"tokens": 0, "cached": 0, "paths": 0, "requests": 0}

    async def score(self, request: web.Request) -> web.Response:
        """POST /score."""
        asked = await request.json()
        self._counts["requests"] += 1
        scores = await asyncio.gather(*(self._score(asked["question"], text) for text in asked["solutions"]))
        return web.json_response({"scores": scores})

    async def counts(self, _: web.Request) -> web.Response:
        """GET /counts."""
        return web.json_response(self._counts)

    async def health(self, _: web.Request) -> web.Response:
        """GET /health."""
        return web.json_response({})

    async def _score(self, question: str, solution: str) -> float:
        ids = path_ids(self._engine.format, question, split_steps(solution))
        scored = await self._engine.score(ids)
        self._counts["tokens"] += len(ids)
        self._counts["cached"] += scored.cached_tokens
        self._counts["paths"] += 1
        return scored.score.median


def split_steps(solution: str) -> list[str]:
    """The steps of a solution, none of them empty."""
    return [step for step in solution.split(SEPARATOR) if step.strip("\n")]


async def serve(settings: PrmSettings, port: int) -> None:
    """Load the engine and serve until the process is ended."""
    server = PrmServer(build_prm(settings))
    application = web.Application(client_max_size=2**26)
    application.add_routes(
        [web.post("/score", server.score), web.get("/counts", server.counts), web.get("/health", server.health)]
    )
    runner = web.AppRunner(application, access_log=None, handle_signals=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        await asyncio.Event().wait()
    finally:
        await server._engine.close()


def main(argv: Sequence[str]) -> None:
    """Serve."""
    be_as_polite_as_replicas()
    asyncio.run(serve(read_settings(PrmSettings, argv[0]), int(argv[1])))


if __name__ == "__main__":
    main(sys.argv[1:])
