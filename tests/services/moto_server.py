"""moto's server, one write at a time: by itself it looks a key up and stores it later, with no lock in between."""

import threading
from collections.abc import Iterable
from typing import Any

from moto import server
from moto.moto_server.werkzeug_app import DomainDispatcherApplication


class OneWriteAtATime(DomainDispatcherApplication):
    """So that of two conditional writes at once one is refused, as S3 has it."""

    writing = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request (WSGI); the answer is complete when this returns."""
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return super().__call__(environ, start_response)  # type: ignore[no-any-return]
        with self.writing:
            return super().__call__(environ, start_response)  # type: ignore[no-any-return]


if __name__ == "__main__":
    server.DomainDispatcherApplication = OneWriteAtATime  # type: ignore[attr-defined]
    server.main()
