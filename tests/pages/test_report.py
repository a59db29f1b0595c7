"""The report in a real browser: it fits narrow and wide screens, asks for nothing, and its tables sort and filter."""

import shutil

import pytest
from written_runs import two_tasks

from hpcmtl.report.page import write_report
from hpcmtl.results.curves.point import TrainingPoint, to_fields
from hpcmtl.results.strict_json import to_json

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
COLOURS = "(style => [style.backgroundColor, style.color])(getComputedStyle(document.body))"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")]


@pytest.fixture(scope="module")
def browser():
    """A browser without a window."""
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def report(tmp_path):
    """The report of two runs, with curves."""
    runs = {name: two_tasks(tmp_path / name) for name in ("one", "two")}
    runs["one"].curves.mkdir()
    points = [TrainingPoint(step=step, losses={"loss": 1 / step}) for step in range(1, 50)]
    runs["one"].curve_file("a").write_text("".join(to_json(to_fields(point)) + "\n" for point in points))
    file = tmp_path / "report.html"
    write_report(runs, file)
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1920])
def test_the_page_fits(browser, report, width, scheme):
    """The page is no wider than the screen, asks for no other file, and says nothing on the console."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    widest = page.evaluate("document.documentElement.scrollWidth")
    paper, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    page.close()

    assert widest == width
    assert (said, asked) == ([], [report.as_uri()])
    assert (paper, ink) == {
        "light": ("rgb(255, 255, 255)", "rgb(27, 31, 36)"),
        "dark": ("rgb(20, 24, 29)", "rgb(230, 233, 237)"),
    }[scheme]


def test_tables_sort_and_filter(browser, report):
    """A click on a heading sorts the rows, another one turns them round, and a text hides the other rows."""
    page = browser.new_page()
    page.goto(report.as_uri())
    first = page.locator("#tasks-1")

    def names():
        return [row.inner_text() for row in first.locator("tbody tr:visible td:first-child").all()]

    orders = [names()]
    for _ in range(2):
        first.locator("th", has_text="seconds").first.click()
        orders.append(names())
    page.locator("input[data-table=tasks-1]").fill("loss")
    orders.append(names())
    page.close()

    assert orders == [["a", "b"], ["b", "a"], ["a", "b"], ["b"]]


def test_the_page_prints_on_paper(browser, report):
    """On paper the page is white with black letters in a dark browser as well, and no wider than the sheet."""
    page = browser.new_page(viewport={"width": 794, "height": 1100}, color_scheme="dark")
    page.goto(report.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    paper, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    filters = page.locator(".filter:visible").count()
    printed = page.pdf(format="A4")
    page.close()

    assert (paper, ink, filters) == ("rgb(255, 255, 255)", "rgb(0, 0, 0)", 0)
    assert printed.startswith(b"%PDF")
