"""Makes the picture of a report for the guides: the top of the page as PNG.

    python benchmarks/report_picture.py RUN docs/images/report.png

RUN is a run directory. It needs Chromium and the Python package `playwright`.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from hpcmtl.report.page import FILE, write_report
from hpcmtl.results.rundir.directory import RunDirectory

WIDTH, HEIGHT = 1100, 1250


def main() -> None:
    """Writes the report of the run, and the picture of its top."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / FILE
        write_report({options.run.name: RunDirectory(options.run)}, page_file)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(page_file.as_uri())
        page.screenshot(path=options.picture)
        browser.close()


if __name__ == "__main__":
    main()
