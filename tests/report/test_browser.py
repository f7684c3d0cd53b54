"""The page in a browser, from the disk: Debian's Chromium, driven by Selenium, without a network."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="Chromium or its driver is not installed")

_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,900"),
)


class Browser:
    """One tab."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def part(self, name: str) -> Any:
        return self.one(f"[data-viewer={name}]")

    def choose(self, name: str, text: str) -> None:
        self.driver.execute_script(
            "const s = arguments[0]; s.value = [...s.options].find((o) => o.text.startsWith(arguments[1])).value;"
            "s.dispatchEvent(new Event('change'))",
            self.part(name),
            text,
        )

    def set(self, name: str, value: object, event: str = "input") -> None:
        self.driver.execute_script(
            "if (arguments[0].type === 'checkbox') arguments[0].checked = arguments[1];"
            "else arguments[0].value = arguments[1];"
            "arguments[0].dispatchEvent(new Event(arguments[2]))",
            self.part(name),
            value,
            event,
        )

    def until(self, true: Any, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.part("status").text
            time.sleep(0.05)

    def viewer(self, key: str) -> str:
        return self.one("#viewer").get_attribute(f"data-{key}") or ""

    def pixels(self) -> np.ndarray:
        """The canvas as it is seen, ``(rows, columns, 3)``."""
        show = "arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})"
        self.driver.execute_script(show, self.part("canvas"))
        self.driver.execute_script("return new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")
        shown = Image.open(io.BytesIO(self.part("canvas").screenshot_as_png)).convert("RGB")
        return np.asarray(shown).astype(int)


@pytest.fixture(scope="module")
def browser(study_page: Path) -> Iterator[Browser]:
    """The page with its viewer open; one tab for all tests, which leave it as they like."""
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for option in _OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        tab = Browser(driver)
        driver.get(study_page.as_uri())
        driver.execute_script("document.getElementById('viewer').scrollIntoView({behavior: 'instant'})")
        tab.until(lambda: tab.viewer("state") in ("ready", "failed"))
        assert tab.viewer("state") == "ready", tab.part("status").text
        yield tab
        # whatever the tests did, there was no error, and nothing was asked of anybody
        assert [e for e in driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == []
        messages = [json.loads(e["message"])["message"] for e in driver.get_log("performance")]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        assert asked and {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
        assert [url for url in asked if url.startswith("file")] == [study_page.as_uri()]
    finally:
        driver.quit()


def volumes(report: Path, case: int = 0) -> dict[str, np.ndarray]:
    """Label of each layer to its voxels, as the page has them."""
    text = report.read_text(encoding="utf-8")
    index = re.search(r'id="viewer-index">(.*?)</script>', text, re.S)
    assert index is not None
    found = {}
    for layer in json.loads(index[1])[case]["layers"]:
        block = re.search(rf'id="{layer["volume"]}">([^<]*)<', text)
        assert block is not None
        image = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(block[1])))
        found[layer["label"]] = np.asarray(image.dataobj)
    return found


def test_the_scan_is_seen(browser: Browser) -> None:
    seen = browser.pixels()
    assert seen.std() > 20 and len(np.unique(seen)) > 50
    assert browser.part("case").get_attribute("value") == "0"


def test_a_map_is_laid_over_it_and_its_value_told(browser: Browser, study_page: Path) -> None:
    browser.choose("map", "nothing")
    before = browser.pixels()
    browser.choose("map", "entropy")
    browser.until(lambda: browser.viewer("map") == "entropy")
    assert (np.abs(browser.pixels() - before).sum(axis=2) > 30).mean() > 0.01
    told = float(re.search(r"entropy: ([\d.]+) nats", browser.part("status").text)[1])  # type: ignore[index]
    # the value under the cross is one of the slice where it begins, to the third digit as told
    slice_ = int(browser.part("slice").get_attribute("value"))
    assert np.abs(volumes(study_page)["entropy"][..., slice_] - told).min() < 6e-4
    browser.set("map-opacity", 0)
    browser.until(lambda: np.abs(browser.pixels() - before).sum(axis=2).max() < 60)
    browser.set("map-opacity", 0.6)


def test_every_map_and_every_rater_can_be_shown(browser: Browser) -> None:
    for name in ("probability of opacity", "epistemic", "ambiguity", "noise", "share of raters"):
        browser.choose("map", name)
        browser.until(lambda name=name: browser.viewer("map").startswith(name))  # type: ignore[misc]
    browser.choose("map", "nothing")
    browser.until(lambda: browser.viewer("map") == "")
    for name in ("mode", "rater-1", "<img src=x onerror=alert(1)>", "rater-3 (looked at"):
        browser.choose("mask", name)
        browser.until(lambda name=name: browser.viewer("mask").startswith(name))  # type: ignore[misc]
    browser.choose("mask", "nothing")
    browser.until(lambda: browser.viewer("mask") == "")


def test_what_is_drawn_is_an_outline_or_filled(browser: Browser) -> None:
    bare = browser.pixels()
    browser.set("all", True, "change")
    browser.choose("mask", "rater-1")
    browser.until(lambda: browser.viewer("mask") == "rater-1")
    rim = (np.abs(browser.pixels() - bare).sum(axis=2) > 30).mean()
    browser.set("outline", False, "change")
    browser.until(lambda: (np.abs(browser.pixels() - bare).sum(axis=2) > 30).mean() > 1.5 * rim > 0)
    browser.set("outline", True, "change")
    browser.choose("mask", "nothing")
    browser.until(lambda: browser.viewer("mask") == "")


def test_windows_of_lung_and_mediastinum(browser: Browser) -> None:
    looks = []
    for name, limits in (("lung", "-1350 150"), ("mediastinum", "-160 240")):
        browser.choose("window", name)
        browser.until(lambda limits=limits: browser.viewer("window") == limits)  # type: ignore[misc]
        looks.append(browser.pixels().mean())
    assert looks[0] > 1.2 * looks[1]  # air is grey in the one and black in the other


def test_keys_scroll_slices(browser: Browser) -> None:
    slice_ = int(browser.part("slice").get_attribute("value"))
    before = browser.pixels()
    browser.part("canvas").send_keys("\ue013")  # arrow up
    browser.until(lambda: int(browser.part("slice").get_attribute("value")) == slice_ + 1)
    assert np.abs(browser.pixels() - before).sum() > 0
    assert f"slice {slice_ + 2} of 6" in browser.part("status").text
    browser.part("canvas").send_keys("\ue015")
    browser.until(lambda: int(browser.part("slice").get_attribute("value")) == slice_)


def test_readings_step_and_play(browser: Browser) -> None:
    browser.part("canvas").send_keys("\ue014")  # arrow right: the readings come up
    browser.until(lambda: browser.viewer("mask") == "readings of the model")
    frame = int(browser.viewer("frame"))
    browser.part("canvas").send_keys("\ue014")
    browser.until(lambda: int(browser.viewer("frame")) == (frame + 1) % 4)
    browser.driver.execute_script("arguments[0].click()", browser.part("play"))
    assert browser.part("play").text == "Pause" and browser.part("play").get_attribute("aria-pressed") == "true"
    seen = set()
    end = time.monotonic() + 90  # each look takes a moment, and a busy machine takes long over a frame
    while len(seen) < 4 and time.monotonic() < end:
        seen.add(browser.viewer("frame"))
        time.sleep(0.05)
    assert seen == {"0", "1", "2", "3"}
    browser.part("canvas").send_keys(" ")  # and the space bar stops it
    browser.until(lambda: browser.part("play").get_attribute("aria-pressed") == "false")


def test_a_link_opens_a_case_and_leads_back_to_its_row(browser: Browser) -> None:
    link = browser.one("#case-table a[data-case='1']")
    browser.driver.execute_script("arguments[0].click()", link)
    browser.until(lambda: browser.part("case").get_attribute("value") == "1" and browser.viewer("state") == "ready")
    name = browser.one("#viewer select option[value='1']").text
    assert name in browser.part("status").text
    row = browser.one(browser.part("row").get_attribute("href").partition("html")[2])
    assert row.text.startswith(name)
    numbers = [e.text for e in browser.all("[data-viewer=numbers] dd")]
    cells = [td.get_attribute("textContent") for td in row.find_elements("css selector", "td[data-value]")]
    assert cells and set(cells) <= set(numbers)


def test_tables_sort_by_enter_and_filter(browser: Browser) -> None:
    head = browser.one("#case-table thead th:nth-child(3)")
    push = head.find_element("css selector", "button")
    for direction, sign in (("ascending", 1), ("descending", -1)):
        push.send_keys("\ue007")
        assert head.get_attribute("aria-sort") == direction
        values = [float(td.get_attribute("data-value")) for td in browser.all("#case-table tbody td:nth-child(3)")]
        assert values == sorted(values, key=lambda v, s=sign: s * v) and len(set(values)) > 1  # type: ignore[misc]
    field = browser.one("input[data-filters=case-table]")
    field.send_keys("case-0001")
    assert [r.text.split()[0] for r in browser.all("#case-table tbody tr") if r.is_displayed()] == ["case-0001"]
    assert browser.one("#case-table-count").text == "1 of 3 rows"
    field.clear()
    field.send_keys("x\ue003")
    assert browser.one("#case-table-count").text == "3 of 3 rows"


def test_light_and_dark_and_always_light_on_paper(browser: Browser) -> None:
    def paper() -> str:
        return browser.driver.execute_script("return getComputedStyle(document.documentElement).backgroundColor")

    def media(**features: str) -> None:
        given = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items() if k != "media"]
        browser.driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": features.get("media", ""), "features": given}
        )

    media(prefers_color_scheme="light")
    assert paper() == "rgb(255, 255, 255)"
    media(prefers_color_scheme="dark")
    dark = paper()
    assert dark != "rgb(255, 255, 255)"
    switch = browser.one("#theme")
    browser.driver.execute_script("arguments[0].click()", switch)
    assert paper() == "rgb(255, 255, 255)" and switch.text == "Dark page"
    browser.driver.execute_script("arguments[0].click()", switch)
    assert paper() == dark
    media(media="print", prefers_color_scheme="dark")
    assert paper() == "rgb(255, 255, 255)" and not browser.one("#viewer").is_displayed()
    media()


def test_it_prints(browser: Browser) -> None:
    pdf = base64.b64decode(browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert pdf.startswith(b"%PDF") and len(re.findall(rb"/Type /Page\b", pdf)) > 5


def test_focus_is_seen_and_the_first_of_it_skips(browser: Browser) -> None:
    first = "return [...document.querySelectorAll('a[href], button, input, select, [tabindex]')][0].className"
    assert browser.driver.execute_script(first) == "skip"
    skip = browser.one(".skip")
    assert skip.location["x"] < 0
    browser.driver.execute_script("arguments[0].focus()", skip)
    assert skip.location["x"] >= 0
    skip.send_keys("\ue004")
    width = browser.driver.execute_script("return getComputedStyle(document.activeElement).outlineWidth")
    assert float(width.removesuffix("px")) >= 2


def test_text_stands_out_from_the_page(browser: Browser) -> None:
    """Contrast of ink, muted text and links on the page of at least 4.5, light and dark (WCAG 2.1, AA)."""

    def luminance(colour: str) -> float:
        values = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    style = "const s = getComputedStyle(document.documentElement);"
    read = f"{style} return arguments[0].map((n) => s.getPropertyValue(n).trim())"
    for theme in ("light", "dark"):
        browser.driver.execute_script(f"document.documentElement.dataset.theme = '{theme}'")
        names = ["--paper", "--wash", "--ink", "--muted", "--accent", "--warn"]
        paper, wash, *texts = (luminance(c) for c in browser.driver.execute_script(read, names))
        for ground in (paper, wash):
            for text in texts:
                assert (max(ground, text) + 0.05) / (min(ground, text) + 0.05) >= 4.5, theme
