"""Each of the console's pages as people see it, in a site that has been used: in both languages and themes, on a laptop
and a phone; and an administrator's errands by keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.hub.console.site import ConsoleSite
from tests.ui.conftest import SHOTS
from tests.ui.furnished import EVIL, SAID, furnished
from tests.ui.test_console import Desk

__all__ = ["furnished"]
pytestmark = [pytest.mark.ui, pytest.mark.timeout(240)]
PAGES = (
    "overview",
    "users",
    "users?state=waiting",
    "users?state=blocked",
    "users/lee",
    "users/nari",
    "users/mallory",
    "users/nobody.yet",
    "groups",
    "groups/research",
    "policy/default",
    "policy/destinations",
    "policy",
    "usage?span=month",
    "usage?span=month&by=day",
    "audit",
    "audit?kind=events",
    "audit?user=nobody",
    "models",
    "announcements",
    "me",
    "nothing-here",
)
LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (
    ("light", 1280),
    ("light", 390),
    ("dark", 390),
    ("dark", 1280),
)
RUN = re.compile(r"(?:\b[A-Za-z][a-z']* ){2,}[A-Za-z][a-z']*\b")
NAMES = (EVIL, *SAID, "command line")
FAINT = """
() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const seen = new Map();
  const channels = (color) => {
    if (!seen.has(color)) {
      brush.clearRect(0, 0, 1, 1);
      brush.fillStyle = color;
      brush.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
      seen.set(color, [r, g, b, a / 255]);
    }
    return seen.get(color);
  };
  const over = ([r, g, b, a], ground) => [r, g, b].map((v, i) => v * a + ground[i] * (1 - a));
  const ground = (node) => {
    if (!node) return channels(getComputedStyle(document.documentElement).getPropertyValue("--ground") || "white");
    const color = channels(getComputedStyle(node).backgroundColor);
    return color[3] === 1 ? color.slice(0, 3) : over(color, ground(node.parentElement));
  };
  const light = (color) =>
    color
      .map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  const look = (element, color, text, style) => {
    let alpha = 1;
    for (let node = element; node; node = node.parentElement) alpha *= Number(getComputedStyle(node).opacity);
    const [r, g, b, a] = channels(color);
    const behind = ground(element);
    const [low, high] = [light(behind), light(over([r, g, b, a * alpha], behind))].sort((x, y) => x - y);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${element.tagName} ${text.slice(0, 60)}`);
  };
  const shown = (each) => each.checkVisibility({ visibilityProperty: true }) && each.getBoundingClientRect().width > 1;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    if (!node.data.trim() || !shown(element) || element.closest(":disabled")) continue;
    const style = getComputedStyle(element);
    look(element, element.closest("svg") ? style.fill : style.color, node.data.trim(), style);
  }
  for (const field of document.querySelectorAll("input, textarea")) {
    if (!shown(field) || field.matches(":disabled, [type=checkbox], [type=hidden]")) continue;
    const style = field.value ? getComputedStyle(field) : getComputedStyle(field, "::placeholder");
    if (field.value || field.placeholder) look(field, style.color, field.value || field.placeholder, style);
  }
  return found;
}
"""
"""Text whose contrast is below WCAG's 4.5, or 3 where it is large."""
SENTENCES = """
() => {
  const body = document.body.cloneNode(true);
  for (const each of body.querySelectorAll("pre, code, textarea, script, [lang]:not(html)")) each.remove();
  const found = [];
  const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) found.push(node.data);
  for (const each of body.querySelectorAll("*"))
    for (const name of ["placeholder", "title", "aria-label", "data-confirm", "data-yes", "data-no"])
      if (each.hasAttribute(name)) found.push(each.getAttribute(name));
  return [document.title, ...found].map((text) => text.replace(/\\s+/g, " ").trim()).filter(Boolean);
}
"""
"""What a page says, also in what is read aloud or asked later."""
NARROW = """
() => [...document.querySelectorAll("body *")]
  .filter((each) => each.checkVisibility() && !each.closest(".wide, .menu, pre, svg, .skip, .hidden"))
  .filter((each) => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((each) => `${each.tagName}.${each.className} ${each.textContent.trim().slice(0, 40)}`)
"""
"""What reaches beyond the window's right edge."""
RING = """
() => {
  const style = getComputedStyle(document.activeElement);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
}
"""


@pytest.fixture
def contexts() -> Iterator[list[BrowserContext]]:
    found: list[BrowserContext] = []
    yield found
    for each in found:
        each.close()


class Visitor(Desk):
    """Whoever looks at pages; a request to anywhere else is kept."""

    def __init__(
        self, site: ConsoleSite, browser: Browser, contexts: list[BrowserContext], name: str, **more: Any
    ) -> None:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, **({"locale": "en-US"} | more))
        contexts.append(context)
        context.set_default_timeout(20_000)
        self._home = site.public + "/"
        self.elsewhere: list[str] = []
        context.on("request", self._asked)
        super().__init__(site, context, name)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self._home):
            self.elsewhere.append(request.url)


def shot_name(path: str, *more: object) -> str:
    return "-".join([re.sub("[^a-z.]+", "-", path), *map(str, more)]) + ".png"


def look_at(desk: Visitor, path: str, language: str, folder: Path, status: int = 200) -> tuple[list[str], list[str]]:
    """(what the page says, what is wrong with its looks), in each theme and width."""
    page, wrong = desk.page, []
    page.set_viewport_size({"width": 1280, "height": 800})
    answer = page.goto(f"{desk.site.console}/{path}")
    assert answer is not None and answer.status == status, path
    assert page.locator("html").get_attribute("lang") == language
    for scheme, width in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        expect(page.locator("h1")).to_be_visible()
        where = f"{path} {language} {scheme} {width}: "
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            wrong.append(f"{where}{wide} px wide")
        wrong += [f"{where}reaches out: {each}" for each in page.evaluate(NARROW)]
        wrong += [f"{where}faint: {each}" for each in page.evaluate(FAINT)]
        if (language == "en") == ((scheme, width) in (("light", 1280), ("dark", 390))):
            page.screenshot(path=folder / shot_name(path, language, scheme, width), full_page=True)
    return page.evaluate(SENTENCES), wrong


def untranslated(english: list[str], korean: list[str]) -> set[str]:
    """Words in a row that are said in both; not what people have written."""
    runs = {run for text in korean for run in RUN.findall(text)}
    said = "\n".join(english)
    return {run for run in runs if run in said and not any(run in each or each in run for each in NAMES)}


def test_every_page_is_whole_readable_and_in_its_readers_language(
    furnished: ConsoleSite, browser: Browser, contexts: list[BrowserContext]
) -> None:
    folder = SHOTS / "console"
    folder.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    admins = {lang: Visitor(furnished, browser, contexts, "admin", locale=lang) for lang in ("en-US", "ko-KR")}
    for path in PAGES:
        status = 404 if path == "nothing-here" else 200
        (english, bad), (korean, worse) = (
            look_at(desk, path, lang[:2], folder, status) for lang, desk in admins.items()
        )
        wrong += [*bad, *worse, *(f"{path} in Korean: {each}" for each in untranslated(english, korean))]
    for desk in admins.values():
        assert desk.elsewhere == []
        assert [each for each in desk.complaints if "404" not in each] == []
    assert wrong == [], "\n".join(wrong)


def test_a_user_meets_her_own_page_and_is_told_so_on_any_other(
    furnished: ConsoleSite, browser: Browser, contexts: list[BrowserContext]
) -> None:
    folder = SHOTS / "console"
    folder.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    said = {}
    for lang in ("en-US", "ko-KR"):
        ann = Visitor(furnished, browser, contexts, "ann", locale=lang)
        for path, status in (("me", 200), ("users/lee", 403)):
            texts, bad = look_at(ann, path, lang[:2], folder / "ann", status)
            said[path, lang] = texts
            wrong += bad
            assert "lee" not in texts and not any("park" in each for each in texts), "nothing of others"
        for path in [each for each in PAGES if each not in ("me", "nothing-here")]:
            answer = ann.page.request.get(f"{furnished.console}/{path}")
            assert answer.status == 403 and "lee" not in re.sub("users/lee", "", answer.text()), path
        assert ann.elsewhere == [] and [each for each in ann.complaints if "403" not in each] == []
    for path in ("me", "users/lee"):
        wrong += untranslated(said[path, "en-US"], said[path, "ko-KR"])
    assert wrong == [], "\n".join(wrong)


class Keys:
    """Somebody without a mouse: what has the focus is always seen to have it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def to(self, role: Any, name: str, most: int = 120) -> None:
        """Tab until it is reached."""
        wanted = self.page.get_by_role(role, name=name, exact=True).first
        expect(wanted).to_be_visible()
        for _ in range(most):
            self.page.keyboard.press("Tab")
            shown = self.page.evaluate(RING)
            focused = self.page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
            assert shown, f"nothing shows that the focus is at {focused}"
            if wanted.evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"Tab does not reach {role} {name!r}")

    def press(self, role: Any, name: str) -> None:
        self.to(role, name)
        self.page.keyboard.press("Enter")

    def type(self, role: Any, name: str, text: str) -> None:
        self.to(role, name)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)


def test_an_administrators_errands_are_done_by_keyboard_alone(
    furnished: ConsoleSite, browser: Browser, contexts: list[BrowserContext]
) -> None:
    admin = Visitor(furnished, browser, contexts, "admin")
    page, keys = admin.page, Keys(admin.page)
    # approve
    admin.open("overview")
    keys.press("link", "Sign-ups waiting for your approval: 2")
    keys.press("link", "nari")
    keys.press("button", "Approve")
    assert admin.flash() == "nari may log in."
    # a quota
    keys.type("textbox", "Tokens a day", "60000")
    page.keyboard.press("Enter")
    assert admin.flash() == "Saved. It counts within seconds."
    expect(page.get_by_text("of 60,000 tokens")).to_be_visible()
    # block, after a question that begins at Cancel
    keys.press("button", "Block")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator(":focus")).to_have_text("Cancel")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(":focus")).to_have_text("Block")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate(RING)
    expect(page.locator(":focus")).to_have_text("Block")
    page.keyboard.press("Enter")
    assert "nari is blocked" in admin.flash()
    # search the audit, and take it away
    keys.press("link", "Audit")
    page.wait_for_url("**/audit")
    keys.type("searchbox", "About whom or what", "nari")
    page.keyboard.press("Enter")
    page.wait_for_url("**/audit?*subject=nari*")
    expect(page.get_by_role("table").get_by_text("user.block").first).to_be_visible()
    with page.expect_download() as taken:
        keys.press("link", "Download as CSV")
    text = Path(taken.value.path()).read_text()
    assert "user.approve" in text and "user.block" in text and "admin" in text
    assert admin.complaints == [] and admin.elsewhere == []
