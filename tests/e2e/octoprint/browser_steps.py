"""An operator in a browser; run with the Python of `.cache/browser`. Prints what it saw as JSON, leaves pictures.

browser_steps.py CHROMIUM URL USER PASSWORD FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ARGUMENTS = [
    *("--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
TAB = "#tab_plugin_printright"
SHOW = "() => document.querySelector('#tab_plugin_printright_link a').click()"
PAUSE = """async () => {
    for (let i = 0; i < 400; i++) {
        const status = await OctoPrint.get('plugin/printright/status');
        if (status.machine === 'paused') { return true; }
        if (status.job && status.job.stage === 'printing') { await OctoPrint.postJson('plugin/printright/pause', {}); }
        await new Promise(done => setTimeout(done, 50));
    }
    return false;
}"""


def follow(page: Page, url: str, user: str, password: str, folder: Path) -> dict[str, object]:
    saw: dict[str, object] = {}
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.fill("#login-user", user)
    page.fill("#login-password", password)
    page.click("#login-button")
    # The tab may be in the menu of those that find no room.
    page.wait_for_selector("#tab_plugin_printright_link a", state="attached")
    page.wait_for_selector("#page-container-main", state="visible")
    page.evaluate(SHOW)
    page.wait_for_selector(f"{TAB} .printright-offer")
    saw["titles"] = page.locator(f"{TAB} .printright-what h5").all_inner_texts()
    saw["settings_shown"] = page.locator("#navbar_show_settings").is_visible()
    page.screenshot(path=folder / "offers.png")
    offer = page.locator(f"{TAB} .printright-offer", has_text="7.20 EUR")
    offer.locator("input[type=number]").fill("2")
    offer.locator("button").click()
    page.wait_for_selector("text=The bed is clear, go on")
    page.screenshot(path=folder / "bed.png")
    page.click("text=The bed is clear, go on")
    saw["paused"] = page.evaluate(PAUSE)
    page.wait_for_selector(f"{TAB} button:has-text('Resume')")
    page.screenshot(path=folder / "paused.png")
    page.click(f"{TAB} button:has-text('Resume')")
    page.wait_for_selector("text=The bed is clear, go on", timeout=60_000)
    page.click("text=The bed is clear, go on")
    page.wait_for_selector(f"{TAB} .printright-serials li", timeout=60_000)
    saw["serials"] = page.locator(f"{TAB} .printright-serials li").all_inner_texts()
    saw["result"] = page.locator(f"{TAB} .printright-result strong").inner_text()
    page.screenshot(path=folder / "result.png")
    page.click("#term_link a")
    saw["terminal"] = page.locator("#terminal-output").inner_text()[-4000:]
    saw["hacked"] = page.evaluate("() => window.hacked === undefined ? '' : String(window.hacked)")
    saw["errors"] = errors
    return saw


def main() -> None:
    chromium, url, user, password, folder = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1180, "height": 860})
        page.set_default_timeout(60_000)
        try:
            print(json.dumps(follow(page, url, user, password, Path(folder))))
        except Exception:
            page.screenshot(path=Path(folder) / "failed.png")
            raise
        finally:
            browser.close()


main()
