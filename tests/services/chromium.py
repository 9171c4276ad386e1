"""A real browser: Debian's Chromium, driven by Playwright, which brings none of its own here.

Playwright is the client that browsers' own makers keep up; it drives any Chromium by its path. axe comes in the PyPI
package axe-playwright-python, as its makers publish it, so no Node is needed.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, sync_playwright

from tests.services.debian import CannotStart, install

PACKAGES = ("chromium", "fonts-dejavu-core")
PROGRAM = "chromium"
REQUIRED = "PARSIMONY_REQUIRE_CHROMIUM"
"""Environment variable: set where a browser that cannot be started is an error and no reason to skip."""
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
READY = "html[data-ready=yes]"
LIMIT_MS = 120_000
"""Until it has started, and until a page has opened: from a cold disk both may take long."""


@contextmanager
def browsing() -> Iterator[Any]:
    """A running browser (`playwright.sync_api.Browser`); ends with the context. Raises `CannotStart`."""
    install(PACKAGES, [PROGRAM])
    path = shutil.which(PROGRAM)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # root has no sandbox
        try:
            browser = playwright.chromium.launch(executable_path=path, args=arguments, timeout=LIMIT_MS)
        except Error as error:
            raise CannotStart(f"{path} does not start: {error}") from error
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One page that was opened, and what it did.

    Attributes:
        page: `playwright.sync_api.Page`.
        requests: addresses that it asked for, the file itself aside.
        complaints: what stands in its console, and errors of its script.
    """

    def __init__(self, browser: Any, file: Path, *, hash_part: str = "", **options: Any) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._context = browser.new_context(**({"viewport": DESKTOP} | options))
        self.page = self._context.new_page()
        address = file.absolute().as_uri()
        self.page.on("request", lambda request: self._note(request.url, address))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address + hash_part, timeout=LIMIT_MS)
        self.page.wait_for_selector(READY, timeout=LIMIT_MS)

    def _note(self, url: str, address: str) -> None:
        if url.partition("#")[0] != address:
            self.requests.append(url)

    def close(self) -> None:
        """Leave."""
        self._context.close()


@contextmanager
def visiting(browser: Any, file: Path, **options: Any) -> Iterator[Visit]:
    """Open a page and wait until it is ready; `options` as for `Visit`."""
    visit = Visit(browser, file, **options)
    try:
        yield visit
    finally:
        visit.close()
