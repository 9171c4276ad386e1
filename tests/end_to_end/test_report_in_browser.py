"""The page of `parsimony report` in Chromium: it opens, loads nothing, reads well to all, and runs nobody's code."""

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from benchmarks.made_run import CHATTER, Talk, chatter, made_problems, write_run
from jobs.command_line.report import ReportOptions
from jobs.report import run as report_run
from records.problem import Problem
from tests.services.chromium import PHONE, REQUIRED, Visit, browsing, visiting
from tests.services.debian import CannotStart

BEST_OF_8 = {"name": "best-of-n", "num_samples": 8}
BEAM = {"name": "beam-search", "num_samples": 8, "beam_width": 2, "max_steps": 6}
PLANTED = "<script>window.planted = true</script><img src=x onerror='window.planted = true'>"
"""In every text that a run can hold; should the page take it for code, `window.planted` is there."""
IMPACTS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        with browsing() as started:
            yield started
    except CannotStart as why:
        if os.environ.get(REQUIRED):
            raise
        pytest.skip(f"no Chromium: {why}")


def report(**options: Any) -> None:
    """Write a page, in a thread of its own: an open browser keeps an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(report_run, ReportOptions(**options)).result() == 0


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of a finished run beside another, and of one that stopped half-way; all texts are planted."""
    folder = tmp_path_factory.mktemp("reports")
    talk = Talk(say=lambda rng, words: f"{chatter(rng, words)} {PLANTED}")
    problems = [
        Problem(f"{problem.problem_id} {PLANTED}", f"{problem.question} {PLANTED}\u2028", f"{problem.reference}")
        for problem in made_problems(60)
    ]
    write_run(folder / "finished", problems, strategy=BEAM, talk=talk, usd_per_hour=2.5)
    write_run(folder / "other", problems, strategy=BEST_OF_8, talk=CHATTER, seed=1)
    write_run(folder / "half", problems, strategy=BEST_OF_8, talk=talk, num_done=30, num_open=5)
    written = {"finished": folder / "finished.html", "half": folder / "half.html"}
    report(run=str(folder / "finished"), other=str(folder / "other"), output=str(written["finished"]))
    report(run=str(folder / "half"), output=str(written["half"]))
    return written


MEDIA: tuple[dict[str, Any], ...] = (
    {"color_scheme": "light"},
    {"color_scheme": "dark"},
    {"viewport": PHONE, "color_scheme": "light"},
)


@pytest.mark.parametrize("name", ["finished", "half"])
def test_a_page_opens_without_a_complaint_and_without_a_request(
    browser: Any, pages: dict[str, Path], name: str
) -> None:
    with visiting(browser, pages[name]) as visit:
        assert visit.requests == []
        assert visit.complaints == []
        policy = visit.page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in policy


@pytest.mark.parametrize(("name", "scheme"), [
    pytest.param("half", "light", marks=pytest.mark.long),
    pytest.param("finished", "dark", marks=pytest.mark.ci),
    pytest.param("half", "dark", marks=pytest.mark.long),
    pytest.param("finished", "light", marks=pytest.mark.long),
])  # fmt: skip
def test_axe_finds_nothing_serious(browser: Any, pages: dict[str, Path], name: str, scheme: str) -> None:
    with visiting(browser, pages[name], color_scheme=scheme) as visit:
        for details in visit.page.locator("details").all():
            details.evaluate("item => { item.open = true; }")
        visit.page.get_by_role("button", name="Open all").click()
        found = Axe().run(visit.page).response["violations"]
        serious = {item["id"]: item["nodes"][0]["html"] for item in found if item["impact"] in IMPACTS}
        assert serious == {}


@pytest.mark.parametrize("name", ["finished", "half"])
def test_planted_scripts_show_as_text(browser: Any, pages: dict[str, Path], name: str) -> None:
    source = pages[name].read_text()
    assert "<script>window" not in source
    assert "<img" not in source
    with visiting(browser, pages[name]) as visit:
        page = visit.page
        page.get_by_role("link", name="p-000003 <script>").first.click()
        page.wait_for_selector("#problem[data-shown^='p-000003']")
        assert page.locator("#problem-title").inner_text() == f"Problem p-000003 {PLANTED}"
        assert PLANTED in page.locator("#problem .text").first.inner_text()
        page.get_by_role("button", name="Open all").click()
        assert PLANTED in page.locator("#tree .step-text").first.inner_text()
        assert page.evaluate("window.planted") is None
        assert page.locator("img").count() == 0
        assert visit.requests == visit.complaints == []


def focused(visit: Visit) -> dict[str, Any]:
    """The tree item that has the focus, as a screen reader is told of it."""
    described = visit.page.evaluate(
        """() => {
            const item = document.activeElement;
            const told = (name) => item.getAttribute(name);
            return { role: told("role"), node: told("data-node"), level: told("aria-level"),
                     expanded: told("aria-expanded"), place: told("aria-posinset"), of: told("aria-setsize") };
        }"""
    )
    assert described["role"] == "treeitem"
    return dict(described)


def test_the_tree_is_walked_by_keyboard(browser: Any, pages: dict[str, Path]) -> None:
    with visiting(browser, pages["finished"]) as visit:
        page = visit.page
        page.get_by_role("button", name="Close all").click()
        page.locator("#tree [tabindex='0']").focus()
        first = focused(visit)
        assert (first["level"], first["place"], first["of"]) == ("1", "1", "8")
        page.keyboard.press("End")
        assert focused(visit)["place"] == "8"
        page.keyboard.press("Home")
        assert focused(visit) == first
        while focused(visit)["expanded"] is None:
            page.keyboard.press("ArrowDown")
        branch = focused(visit)
        assert branch["expanded"] == "false"
        page.keyboard.press("ArrowRight")
        assert focused(visit) == branch | {"expanded": "true"}
        page.keyboard.press("ArrowRight")
        child = focused(visit)
        assert (child["level"], child["place"]) == ("2", "1")
        page.keyboard.press("ArrowDown")
        assert focused(visit)["level"] in {"1", "2", "3"}
        page.keyboard.press("ArrowUp")
        assert focused(visit) == child
        while focused(visit)["node"] != branch["node"]:
            page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        assert focused(visit) == branch
        page.keyboard.press("*")
        opened = page.locator("#tree [aria-level='1'][aria-expanded]").evaluate_all(
            "all => all.map((one) => one.getAttribute('aria-expanded'))"
        )
        assert set(opened) == {"true"}
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('role')") != "treeitem"  # one stop of the Tab key
        assert page.locator("#tree [tabindex='0']").count() == 1


def test_a_thought_is_folded_away_and_unfolds_by_click_and_by_key(browser: Any, tmp_path: Path) -> None:
    talk = Talk(say=chatter, thinks=True)
    write_run(tmp_path / "thinking", made_problems(4), strategy=BEST_OF_8, talk=talk)
    report(run=str(tmp_path / "thinking"), output=str(tmp_path / "thinking.html"))
    with visiting(browser, tmp_path / "thinking.html") as visit:
        page = visit.page
        facts = page.locator("body").inner_text()
        assert "Thinking tokens per sample, by problem" in facts
        folded = page.locator("#tree details.thought")
        assert folded.count() > 0
        first = folded.first
        row = page.locator("#tree [data-node]", has=page.locator("details.thought")).first
        assert first.get_attribute("open") is None
        expanded = row.get_attribute("aria-expanded")
        first.locator("summary").click()
        assert first.get_attribute("open") is not None
        assert row.get_attribute("aria-expanded") == expanded, "the step itself stays as it was"
        first.locator("summary").focus()
        page.keyboard.press("Enter")
        assert first.get_attribute("open") is None
        page.get_by_role("button", name="Open all").click()
        ends = page.locator("#tree [data-node]", has_text="eos").first
        assert "\\boxed" in ends.inner_text(), "the answer is not folded away"


@pytest.mark.ci
def test_enter_and_space_open_and_close_a_step(browser: Any, pages: dict[str, Path]) -> None:
    with visiting(browser, pages["finished"]) as visit:
        page = visit.page
        page.get_by_role("button", name="Close all").click()
        num_roots = page.locator("#tree [role=treeitem]").count()
        page.locator("#tree [tabindex='0']").focus()
        while focused(visit)["expanded"] is None:
            page.keyboard.press("ArrowDown")
        for key in ("Enter", " "):
            page.keyboard.press(key)
            assert focused(visit)["expanded"] == "true"
            assert page.locator("#tree [role=treeitem]").count() > num_roots
            page.keyboard.press(key)
            assert focused(visit)["expanded"] == "false"
            assert page.locator("#tree [role=treeitem]").count() == num_roots


@pytest.mark.ci
def test_problems_are_found_filtered_and_sorted(browser: Any, pages: dict[str, Path]) -> None:
    with visiting(browser, pages["half"]) as visit:
        page = visit.page
        found = page.locator("#found")
        assert found.inner_text() == "35 of 35 problems; page 1 of 2"
        page.get_by_role("button", name="Next page").click()
        assert page.locator("#list tbody tr").count() == 10
        page.get_by_label("Search id or question").fill("p-000007")
        assert page.locator("#list tbody tr").count() == 1
        page.get_by_label("Search id or question").fill("")
        page.get_by_label("Show").select_option("open")
        assert found.inner_text().startswith("5 of 35")
        page.get_by_label("Show").select_option("wrong")
        verdicts = page.locator("#list tbody tr td:nth-child(2)").all_inner_texts()
        assert set(verdicts) == {"wrong"}
        page.get_by_label("Show").select_option("all")
        page.get_by_role("button", name="Tokens").click()
        heading = page.locator("#list").get_by_role("columnheader", name="Tokens")
        assert heading.get_attribute("aria-sort") == "descending"
        column = page.locator("#list tbody tr td:nth-child(7)").all_inner_texts()
        tokens = [int(text.replace(",", "")) for text in column if text != "unknown"]
        assert tokens == sorted(tokens, reverse=True)


@pytest.mark.ci
def test_a_problem_shows_why_it_stopped(browser: Any, pages: dict[str, Path]) -> None:
    with visiting(browser, pages["finished"], hash_part="#problem=nobody") as visit:
        assert "This page knows no such problem." in visit.page.locator("#problem").inner_text()
    with visiting(browser, pages["half"]) as visit:
        page = visit.page
        page.get_by_label("Show").select_option("open")
        page.locator("#list tbody a").first.click()
        page.locator("#problem").get_by_text("had not ended").wait_for()
        told = page.locator("#problem").inner_text()
        assert "It had not ended when the run was read." in told
        assert "unknown until the problem has its row" in told
        assert "It is open, and no path is chosen yet" in told
        page.get_by_label("Show").select_option("right")
        page.locator("#list tbody a").first.click()
        page.locator("#problem").get_by_text("concluded by itself").wait_for()
        told = page.locator("#problem").inner_text()
        assert "8 samples of 1 path to the end, at most 2048 tokens each" in told
        assert "best-of-n with num_samples = 8" in told
        assert page.locator("#tree .chosen").count() >= 1
        assert page.evaluate("document.activeElement.id") == "problem-title"


@pytest.mark.long
def test_a_page_looks_like_one_on_every_medium(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    """Not pixels, but what would be wrong with any: a blank image, a page wider than a phone, no pages on paper."""
    for number, options in enumerate(MEDIA):
        with visiting(browser, pages["finished"], **options) as visit:
            page = visit.page
            image = tmp_path / f"{number}.png"
            page.screenshot(path=image, full_page=True)
            assert num_colours(image) > 50
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide == 0
            assert page.locator("svg.plot").count() == 4
            sizes = page.locator("svg.plot").evaluate_all("all => all.map((one) => one.getBoundingClientRect().height)")
            assert min(sizes) > 100
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert background == ("rgb(20, 24, 29)" if options["color_scheme"] == "dark" else "rgb(255, 255, 255)")
    with visiting(browser, pages["finished"], color_scheme="dark") as visit:
        pdf = visit.page.pdf(format="A4", print_background=True)
        assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 4
        visit.page.emulate_media(media="print")
        assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not visit.page.locator("nav").is_visible()
        assert visit.page.locator("#tree").is_visible()


def num_colours(image: Path) -> int:
    """Distinct colours in a picture."""
    with Image.open(image) as picture:
        found = picture.convert("RGB").getcolors(maxcolors=1 << 24)
    return len(found or [])


@pytest.mark.ci
def test_trees_that_have_no_room_are_named_and_one_can_be_asked_for(browser: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "run", made_problems(160), strategy=BEST_OF_8, talk=replace(CHATTER, num_words=60))
    page = tmp_path / "report.html"
    report(run=str(tmp_path / "run"), output=str(page), max_mb=1.2)
    with visiting(browser, page) as visit:
        note = visit.page.locator("#explorer .note").first.inner_text()
        found = re.search(r"room for (\d+) of 160 search trees", note)
        assert found
        visit.page.get_by_label("Show").select_option("tree")
        assert visit.page.locator("#found").inner_text().startswith(f"{found[1]} of 160")
        chunks = visit.page.evaluate("list.table.chunk")
        missing = visit.page.evaluate("list.table.id")[chunks.index(-1)]
    with visiting(browser, page, hash_part=f"#problem={missing}") as visit:
        assert "This file has no room for its tree" in visit.page.locator("#problem").inner_text()
    report(run=str(tmp_path / "run"), output=str(page), max_mb=1.2, problems=(missing,))
    with visiting(browser, page, hash_part=f"#problem={missing}") as visit:
        assert visit.page.locator("#tree").count() == 1
