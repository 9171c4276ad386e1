"""A real browser: Debian's Chromium, driven by Playwright, which brings none of its own here.

Playwright is the client that browsers' own makers keep up; it drives any Chromium by its path. axe comes in the PyPI
package axe-playwright-python, as its makers publish it, so no Node is needed.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, sync_playwright

PACKAGES = ("chromium", "fonts-dejavu-core")
PROGRAM = "chromium"
REQUIRED = "PARSIMONY_REQUIRE_CHROMIUM"
"""Environment variable: set where a browser that cannot be started is an error and no reason to skip."""
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
READY = "html[data-ready=yes]"


class CannotBrowse(Exception):
    """The browser cannot be installed here; the message says why."""


def install() -> str:
    """Path of the browser, installed if it is missing and we may. Raises `CannotBrowse`."""
    found = shutil.which(PROGRAM)
    if found is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise CannotBrowse(f"needs the Debian packages {', '.join(PACKAGES)}, which only root can install")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    patient = ("-q", "-o", "DPkg::Lock::Timeout=300")
    for command in (("update",), ("install", "-y", "--no-install-recommends", *PACKAGES)):
        done = subprocess.run(
            ["apt-get", *patient, *command], env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode != 0:
            raise CannotBrowse(f"apt-get {command[0]} failed: {done.stderr.strip()[-1000:]}")
    found = shutil.which(PROGRAM)
    if found is None:
        raise CannotBrowse(f"{PACKAGES[0]} is installed, but there is no program {PROGRAM}")
    return found


@contextmanager
def browsing() -> Iterator[Any]:
    """A running browser (`playwright.sync_api.Browser`); ends with the context. Raises `CannotBrowse`."""
    path = install()
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # root has no sandbox
        try:
            browser = playwright.chromium.launch(executable_path=path, args=arguments)
        except Error as error:
            raise CannotBrowse(f"{path} does not start: {error}") from error
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
        self.page.goto(address + hash_part)
        self.page.wait_for_selector(READY, timeout=60_000)

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
