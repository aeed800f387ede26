"""Every page of a real project in a real browser: at desk and phone width, light and dark, without a word on the console."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from begun_project import LATER, client_of, opened, page_addresses
from browser import Browser, browsing


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    binary = shutil.which("chromium")
    if binary is None and not os.environ.get("CI"):
        pytest.skip("no chromium on this machine")
    assert binary is not None, "CI must have chromium"
    with browsing(binary, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def site(looped: Path) -> Iterator[str]:
    """The address of `oito up` on the project that went round."""
    words = ["up", "--port", "0", "-e", "production", "--now", LATER]
    command = [sys.executable, "-c", "from oito.cli import main; main()", *words]
    with subprocess.Popen(command, cwd=looped, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        found = re.match(r"oito answers at (http://127\.0\.0\.1:\d+) in production; Ctrl-C stops it", line)
        assert found, line
        yield found[1]
        child.terminate()
        child.wait(20)


@pytest.fixture(scope="module")
def addresses(looped: Path) -> list[str]:
    workspace = opened(looped)
    found = page_addresses(client_of(workspace))
    workspace.close()
    return [*found, "/actions/accept?asset=target"]


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)], ids=["desk, light", "phone, dark"])
def test_every_page_opens_fits_and_the_console_stays_empty(
    browser: Browser, site: str, addresses: list[str], width: int, dark: bool
) -> None:
    pictures = os.environ.get("PICTURES")
    for number, address in enumerate(addresses):
        browser.complaints.clear()
        browser.open(site + address, width=width, dark=dark)
        assert browser.value("document.querySelector('h1').textContent.length > 0"), address
        assert browser.value("document.documentElement.scrollWidth") <= width, f"{address} is wider than the screen"
        paper = browser.value("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 200) == dark, f"{address}: {paper}"
        assert browser.complaints == [], address
        if pictures:
            browser.picture(Path(pictures) / f"{number:02}-{width}.png")


def test_a_page_that_is_not_there_is_a_page(browser: Browser, site: str) -> None:
    browser.open(site + "/assets/nobody")
    assert "there is no asset" in browser.value("document.body.textContent")


def test_menu_theme_and_sorting_work_on_a_phone(browser: Browser, site: str) -> None:
    browser.complaints.clear()
    browser.open(site + "/environments", width=390)
    assert not browser.value("document.querySelector('nav').checkVisibility()")
    browser.value("document.querySelector('button.menu').click()")
    assert browser.value("document.querySelector('nav').checkVisibility()")
    browser.value("document.querySelector('button.theme').click(); document.querySelector('button.theme').click()")
    assert browser.value("document.documentElement.dataset.theme") == "dark"
    browser.value("document.querySelector('th button').click(); document.querySelector('th button').click()")
    names = browser.value("[...document.querySelectorAll('tbody tr')].map(row => row.cells[0].textContent)")
    assert names == sorted(names, reverse=True) and len(names) == 8
    browser.value("localStorage.clear()")
    assert browser.complaints == []
