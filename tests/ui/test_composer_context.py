"""What goes with a question: mentions, commands, pills, pictures, uploads, drops."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.ui.lab import Lab
from tests.ui.panel import Panel


def png() -> bytes:
    """A red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def drop_files(panel: Panel, kind: str, *files: tuple[str, str, bytes]) -> None:
    """A paste or drop of files (name, mime, bytes), as the browser makes it of the clipboard or the desktop."""
    panel.text.evaluate(
        """(area, [kind, files]) => {
            const data = new DataTransfer();
            for (const [name, type, text] of files) {
                const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
                data.items.add(new File([bytes], name, {type}));
            }
            const event = kind === 'paste'
                ? new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})
                : new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true});
            area.dispatchEvent(event);
        }""",
        [kind, [(name, mime, base64.b64encode(content).decode()) for name, mime, content in files]],
    )


def attached(panel: Panel, key: str) -> Locator:
    """The pill of a thing that will travel (not of one that is still being uploaded)."""
    return panel.composer.locator(f'.jp-Cellar-pill[data-key="{key}"]')


def drag(page: Page, source: Locator, target: Locator) -> None:
    """Press on the source and move over the target; the caller lets go."""
    expect(source).to_be_visible()
    start, end = source.bounding_box(), target.bounding_box()
    assert start and end
    page.mouse.move(start["x"] + 12, start["y"] + 8)
    page.mouse.down()
    page.mouse.move(start["x"] + 60, start["y"] + 30, steps=4)
    page.mouse.move(end["x"] + 30, end["y"] + 10, steps=8)


def test_a_mention_is_found_by_typing_and_picked_by_keyboard(panel: Panel, lab: Lab, model: Any) -> None:
    lab.write("sales.csv", "month,sum\nmay,12345\n")
    lab.write("other.txt", "nothing")
    panel.open("lab")
    panel.text.press_sequentially("sum up @")
    menu = panel.composer.get_by_role("listbox")
    expect(menu).to_be_visible()
    panel.text.press_sequentially("sal")
    expect(menu.get_by_role("option").first).to_contain_text("sales.csv")
    expect(menu.get_by_role("option", name="other.txt")).to_have_count(0)
    panel.text.press("Enter")
    expect(menu).to_have_count(0)
    expect(panel.text).to_have_value("sum up sales.csv ")
    expect(panel.pills.filter(has_text="sales.csv")).to_be_visible()
    panel.text.press("Enter")
    panel.expect_answer("sum up")
    assert "may,12345" in str(model.requests[-1].body["messages"])


def test_the_menu_is_a_listbox_that_the_text_points_into(panel: Panel) -> None:
    panel.open("lab")
    panel.text.press_sequentially("/")
    expect(panel.text).to_have_attribute("role", "combobox")
    expect(panel.text).to_have_attribute("aria-expanded", "true")
    menu = panel.composer.get_by_role("listbox", name="Commands")
    expect(panel.text).to_have_attribute("aria-controls", menu.get_attribute("id") or "?")
    options = menu.get_by_role("option")
    expect(options).to_have_count(10)
    for index in (0, 1):
        expect(options.nth(index)).to_have_attribute("aria-selected", "true")
        expect(panel.text).to_have_attribute("aria-activedescendant", options.nth(index).get_attribute("id") or "?")
        panel.text.press("ArrowDown")
    panel.text.press("Escape")
    expect(menu).to_have_count(0)
    expect(panel.text).to_have_value("/")


def test_cells_and_the_last_error_can_be_mentioned(panel: Panel, model: Any) -> None:
    panel.open()
    panel.wait_for_kernel()
    panel.text.press_sequentially("@")
    options = panel.composer.get_by_role("option")
    expect(options.filter(has_text="AttributeError")).to_be_visible()
    options.filter(has_text="Cell 2").first.click()
    expect(panel.text).to_have_value("")
    pill = panel.pills.filter(has_text="Cell 2")
    expect(pill).to_be_visible()
    pill.get_by_role("button").click()
    expect(pill).to_have_count(0)


def test_a_file_that_cannot_be_read_says_why(panel: Panel, lab: Lab, model: Any) -> None:
    lab.write("bytes.txt", bytes(range(256)) * 4)
    panel.open("lab")
    panel.text.press_sequentially("what is in @bytes")
    panel.composer.get_by_role("option").filter(has_text="bytes.txt").first.click()
    pill = attached(panel, "file:bytes.txt")
    expect(pill).to_contain_text("cannot be read")
    expect(pill).to_have_attribute("title", "File: bytes.txt\nnot text")
    panel.text.press("Enter")
    panel.expect_state("complete")
    panel.last_turn.locator(".jp-Cellar-receiptButton").click()
    expect(panel.last_turn.get_by_role("group", name="Receipt")).to_contain_text("cannot be read, not text")


def test_a_file_and_a_folder_that_vanished_before_the_question_left_are_marked_in_it(
    panel: Panel, lab: Lab, model: Any
) -> None:
    lab.write("here.txt", "here")
    lab.write("gone.txt", "gone")
    lab.write("data/a.txt", "a")
    panel.open("lab")
    for name in ("here.txt", "gone.txt", "data"):
        panel.text.press_sequentially(f"@{name}")
        panel.composer.get_by_role("option").filter(has_text=name).first.click()
    (lab.root / "gone.txt").unlink()
    (lab.root / "data" / "a.txt").unlink()
    (lab.root / "data").rmdir()
    panel.text.press_sequentially("compare them")
    panel.text.press("Enter")
    panel.expect_state("complete")
    sent = panel.questions.last.locator(".jp-Cellar-sentPills li")
    expect(sent).to_have_text(["here.txt", "gone.txt not found", re.compile("^data/? not found$")])
    expect(sent.nth(1)).to_have_attribute("title", "gone.txt\nnot found")
    expect(sent.nth(1)).to_have_class("jp-mod-gone")


def test_the_active_notebook_can_be_taken_off_and_put_back(panel: Panel, model: Any) -> None:
    panel.open()
    auto = panel.composer.locator(".jp-Cellar-pill.jp-mod-auto")
    expect(auto).to_contain_text("sample.ipynb")
    panel.button("Remove sample.ipynb", auto).click()
    expect(auto).to_have_count(0)
    panel.ask("without")
    panel.expect_answer("without")
    assert "bike" not in str(model.requests[-1].body["messages"])
    panel.button("Add sample.ipynb again").click()
    expect(auto).to_be_visible()
    panel.ask("with")
    panel.expect_answer("with")
    assert "bike" in str(model.requests[-1].body["messages"])


def test_nothing_is_attached_by_itself_when_the_setting_is_off(panel: Panel, lab: Lab) -> None:
    lab.setting("@cellar/lab:panel", autoContext=False)
    panel.open()
    expect(panel.root).to_contain_text("No notebook or file is open")
    expect(panel.pills).to_have_count(0)


def test_a_command_is_picked_and_expanded_by_the_server(panel: Panel, model: Any) -> None:
    panel.open("lab")
    panel.text.press_sequentially("/tr")
    panel.text.press("Tab")
    expect(panel.text).to_have_value("/translate ")
    panel.text.press_sequentially("bonjour")
    panel.text.press("Enter")
    panel.expect_state("complete")
    sent = str(model.requests[-1].body["messages"][-1])
    assert "bonjour" in sent
    assert "/translate" not in sent


def test_a_command_that_is_none_is_said_before_it_is_sent(panel: Panel, model: Any) -> None:
    panel.open("lab")
    panel.text.press_sequentially("/nope")
    expect(panel.composer.get_by_text("There is no command /nope: it is sent as text.")).to_be_visible()
    panel.write("/expain this line")
    panel.button("Use /explain").click()
    expect(panel.text).to_have_value("/explain this line")
    expect(panel.text).to_be_focused()
    expect(panel.composer.get_by_text("There is no command")).to_have_count(0)


@pytest.mark.parametrize(
    ("typed", "pill"),
    [("cell 15", "Cell 15"), ("한글 파", "한글 파일.csv"), ("last error", "in cell")],
)
def test_a_mention_may_have_spaces(typed: str, pill: str, panel: Panel, lab: Lab, model: Any) -> None:
    lab.write("한글 파일.csv", "a,b\n1,2\n")
    panel.open()
    panel.text.press_sequentially(f"@{typed}")
    option = panel.root.get_by_role("option").first
    expect(option).to_contain_text(pill)
    panel.text.press("Enter")
    expect(panel.pills.filter(has_text=pill)).to_have_count(1)
    expect(panel.text).to_have_value("")
    expect(panel.turns).to_have_count(0)


def test_a_sentence_behind_an_at_closes_the_menu_and_is_sent(panel: Panel, model: Any) -> None:
    panel.open()
    panel.text.press_sequentially("@cell")
    menu = panel.root.locator(".jp-Cellar-menu")
    expect(menu).to_be_visible()
    panel.text.press_sequentially(" of the prison")
    expect(menu).to_have_count(0)
    panel.text.press("Enter")
    panel.expect_answer("@cell of the prison")


def test_a_mention_of_the_selection_says_that_nothing_is_selected(panel: Panel, model: Any) -> None:
    panel.open()
    panel.text.press_sequentially("@selection")
    expect(panel.root.locator(".jp-Cellar-menu")).to_contain_text("Nothing is selected")


def test_a_mistyped_command_is_not_sent_by_the_first_enter(panel: Panel, model: Any) -> None:
    panel.open("lab")
    panel.text.press_sequentially("/expalin")
    expect(panel.composer.get_by_text("There is no command /expalin.")).to_be_visible()
    panel.text.press("Enter")
    expect(panel.composer.get_by_text("Not sent: there is no command /expalin. Enter once more")).to_be_visible()
    expect(panel.turns).to_have_count(0)
    panel.text.press("Enter")
    panel.expect_answer("/expalin")
    panel.write("/expalin this")
    panel.button("Send as text").click()
    panel.expect_answer("/expalin this")
    assert len(model.requests) == 2


def test_the_meter_names_each_file_of_rules(panel: Panel, lab: Lab) -> None:
    lab.write("AGENTS.md", "Be brief.")
    lab.write(".cellar/rules/style.md", "Use short words.")
    panel.open("lab")
    panel.composer.locator(".jp-Cellar-meterButton").click()
    meter = panel.composer.get_by_role("dialog")
    expect(meter.get_by_role("row", name="Project rules: AGENTS.md")).to_be_visible()
    expect(meter.get_by_role("row", name="Project rules: .cellar/rules/style.md")).to_be_visible()


def test_help_shows_commands_and_keys_and_clear_begins_anew(panel: Panel, page: Page, model: Any) -> None:
    panel.open("lab")
    panel.ask("something")
    panel.expect_answer("something")
    panel.write("/help")
    panel.text.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("/optimize")
    expect(dialog).to_contain_text("Shift+Enter")
    whole = "body => body.scrollHeight <= body.clientHeight"
    assert dialog.locator(".jp-Dialog-body").evaluate(whole)
    dialog.get_by_role("button", name="Close").last.click()
    panel.write("/clear")
    panel.text.press("Enter")
    expect(panel.turns).to_have_count(0)
    expect(panel.text).to_have_value("")
    assert len(model.requests) == 1


def test_a_pasted_picture_becomes_a_pill_with_its_thumbnail(panel: Panel, model: Any) -> None:
    panel.open("lab")
    drop_files(panel, "paste", ("shot.png", "image/png", png()))
    pill = panel.pills.filter(has_text="shot.png")
    image = pill.locator("img")
    expect(image).to_be_visible()
    assert image.evaluate("img => img.complete && img.naturalWidth") == 1
    panel.reload()
    expect(panel.pills.filter(has_text="shot.png").locator("img")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "mime", "content", "words"),
    [
        ("notes.png", "image/png", b"not a picture", "This picture is damaged, or is none"),
        ("logo.svg", "image/svg+xml", b"<svg/>", "Only PNG, JPEG, GIF and WebP pictures can be sent"),
        ("poster.png", "image/png", bytes(6_000_001), "This picture is too large (6 MB at most)"),
    ],
)
def test_a_pasted_picture_that_cannot_be_sent_says_why_until_the_next_question(
    panel: Panel, model: Any, name: str, mime: str, content: bytes, words: str
) -> None:
    panel.open("lab")
    drop_files(panel, "paste", (name, mime, content))
    said = panel.composer.get_by_role("alert").filter(has_text=name)
    expect(said).to_contain_text(words)
    expect(said.locator("img")).to_have_count(0)
    said.get_by_role("button", name="Dismiss").click()
    expect(said).to_have_count(0)
    drop_files(panel, "paste", (name, mime, content))
    expect(said).to_contain_text(words)
    panel.ask("hello")
    panel.expect_answer("hello")
    expect(said).to_have_count(0)
    assert "image_url" not in str(model.requests[0].body["messages"])


def test_a_refused_picture_does_not_follow_into_another_conversation(panel: Panel, model: Any) -> None:
    panel.open("lab")
    panel.ask("hello")
    panel.expect_answer("hello")
    drop_files(panel, "paste", ("logo.svg", "image/svg+xml", b"<svg/>"))
    expect(panel.composer.get_by_role("alert")).to_contain_text("logo.svg")
    panel.write("/clear")
    panel.text.press("Enter")
    expect(panel.turns).to_have_count(0)
    expect(panel.composer.get_by_role("alert")).to_have_count(0)


def test_a_picture_says_so_when_the_model_cannot_see(new_lab: Callable[..., Lab], page: Page, model: Any) -> None:
    lab = new_lab(config='c.Cellar.vision = {"fake-coder": False}', VLLM_BASE_URL=model.url)
    panel = Panel(page, lab).open("lab")
    drop_files(panel, "paste", ("shot.png", "image/png", png()))
    expect(panel.pills.filter(has_text="shot.png")).to_contain_text("this model cannot see pictures")


def test_a_file_of_the_computer_is_uploaded_and_attached(panel: Panel, lab: Lab, model: Any, tmp_path: Path) -> None:
    panel.open("lab")
    source = tmp_path / "measured.csv"
    source.write_text("x,y\n1,98765\n")
    panel.composer.locator("input[type=file]").set_input_files(source)
    expect(attached(panel, "file:measured.csv")).to_be_visible()
    assert (lab.root / "measured.csv").read_text() == source.read_text()
    panel.ask("what is in it")
    panel.expect_state("complete")
    assert "98765" in str(model.requests[-1].body["messages"])


def test_a_question_waits_for_its_uploads(panel: Panel, page: Page, model: Any) -> None:
    held: list[Any] = []
    page.route("**/api/contents/upload-*", lambda route: held.append(route))
    panel.open("lab")
    slow = {"name": "slow.csv", "mimeType": "text/csv", "buffer": b"x,y\n1,98765\n"}
    with page.expect_request("**/api/contents/upload-*"):
        panel.composer.locator("input[type=file]").set_input_files(slow)
    panel.text.fill("what is in it")
    panel.text.press("Enter")
    notice = panel.composer.get_by_role("status").filter(has_text="Sent as soon as the upload has arrived")
    expect(notice).to_be_visible()
    assert model.requests == []
    panel.button("Don’t send", notice).click()
    expect(notice).to_have_count(0)
    expect(panel.text).to_have_value("what is in it")

    panel.text.press("Enter")
    expect(notice).to_be_visible()
    held[0].continue_()
    page.unroute("**/api/contents/upload-*")
    panel.expect_state("complete")
    assert "98765" in str(model.requests[-1].body["messages"])


def test_a_question_waits_for_each_of_several_uploads(panel: Panel, page: Page, model: Any) -> None:
    files = {"may.csv": b"x,y\n1,98765\n", "june.csv": b"x,y\n1,43210\n"}
    held: dict[str, Any] = {}

    def brings(name: str, asked: Request) -> bool:
        return base64.b64encode(files[name]).decode() in (asked.post_data or "")

    def hold(route: Any) -> None:
        for name in files:
            if brings(name, route.request):
                held[name] = route
                return
        route.continue_()

    page.route("**/api/contents/upload-*", hold)
    panel.open("lab")
    chosen: Any = [{"name": name, "mimeType": "text/csv", "buffer": text} for name, text in files.items()]
    with page.expect_request(lambda asked: brings("may.csv", asked)):
        panel.composer.locator("input[type=file]").set_input_files(chosen)
    panel.text.fill("compare them")
    panel.text.press("Enter")
    with page.expect_request(lambda asked: brings("june.csv", asked)):
        held["may.csv"].continue_()
    expect(attached(panel, "file:may.csv")).to_be_visible()
    expect(panel.composer).to_contain_text("Sent as soon as the upload has arrived")
    held["june.csv"].continue_()
    panel.expect_state("complete")
    asked = str(model.requests[-1].body["messages"])
    assert "98765" in asked and "43210" in asked


def test_a_question_waits_for_a_picture_that_is_still_read(panel: Panel, page: Page, model: Any) -> None:
    page.add_init_script(
        "const make = window.createImageBitmap;"
        "window.createImageBitmap = (...of) => new Promise(done => { window.decode = () => done(make(...of)); })"
    )
    panel.open("lab")
    drop_files(panel, "paste", ("shot.png", "image/png", png()))
    panel.text.fill("what is on it")
    panel.text.press("Enter")
    expect(panel.composer).to_contain_text("Sent as soon as the upload has arrived")
    page.evaluate("() => window.decode()")
    panel.expect_state("complete")
    assert "image_url" in str(model.requests[-1].body["messages"])


def test_a_question_whose_upload_fails_stays_in_the_box(
    panel: Panel, page: Page, model: Any, allow_console: Any
) -> None:
    allow_console("Failed to load resource")
    held: list[Any] = []
    page.route("**/api/contents/upload-*", lambda route: held.append(route))
    panel.open("lab")
    slow = {"name": "slow.csv", "mimeType": "text/csv", "buffer": b"x"}
    with page.expect_request("**/api/contents/upload-*"):
        panel.composer.locator("input[type=file]").set_input_files(slow)
    panel.text.fill("what is in it")
    panel.text.press("Enter")
    expect(panel.composer).to_contain_text("Sent as soon as the upload has arrived")
    held[0].fulfill(status=413, body="{}")
    expect(panel.composer.get_by_role("alert")).to_contain_text("larger than the server takes")
    expect(panel.text).to_have_value("what is in it")
    expect(panel.composer).not_to_contain_text("Sent as soon as")
    assert model.requests == []


def test_an_upload_asks_before_it_overwrites(panel: Panel, page: Page, lab: Lab, tmp_path: Path) -> None:
    lab.write("a.csv", "old")
    source = tmp_path / "a.csv"
    source.write_text("new")
    panel.open("lab")
    chooser = panel.composer.locator("input[type=file]")
    chooser.set_input_files(source)
    page.get_by_role("button", name="Cancel").click()
    expect(panel.pills).to_have_count(0)
    assert (lab.root / "a.csv").read_text() == "old"

    chooser.set_input_files(source)
    page.get_by_role("button", name="Keep both").click()
    expect(attached(panel, "file:a (1).csv")).to_be_visible()
    assert (lab.root / "a (1).csv").read_text() == "new"

    chooser.set_input_files(source)
    page.get_by_role("button", name="Replace it").click()
    expect(attached(panel, "file:a.csv")).to_be_visible()
    assert (lab.root / "a.csv").read_text() == "new"


def test_an_upload_asks_before_it_overwrites_a_file_that_the_server_hides(
    new_lab: Callable[..., Lab], page: Page, model: Any, allow_console: Any
) -> None:
    allow_console("409")
    lab = new_lab(config='c.ContentsManager.hide_globs = ["*.key", "*~"]', VLLM_BASE_URL=model.url)
    lab.write("site.key", "old")
    panel = Panel(page, lab).open("lab")
    chooser = panel.composer.locator("input[type=file]")
    site_key = {"name": "site.key", "mimeType": "text/plain", "buffer": b"new"}
    chooser.set_input_files(site_key)
    page.get_by_role("button", name="Cancel").click()
    expect(panel.pills).to_have_count(0)
    assert (lab.root / "site.key").read_text() == "old"

    chooser.set_input_files(site_key)
    page.get_by_role("button", name="Keep both").click()
    expect(attached(panel, "file:site (1).key")).to_be_visible()
    assert (lab.root / "site (1).key").read_text() == "new"
    assert not list(lab.root.glob("upload-*"))


def test_a_file_dropped_from_the_desktop_is_uploaded(panel: Panel, lab: Lab) -> None:
    panel.open("lab")
    drop_files(panel, "drop", ("dropped.txt", "text/plain", b"from the desktop"))
    expect(attached(panel, "file:dropped.txt")).to_be_visible()
    assert (lab.root / "dropped.txt").read_text() == "from the desktop"


def test_an_upload_that_fails_says_why(panel: Panel, page: Page, tmp_path: Path, allow_console: Any) -> None:
    allow_console("Failed to load resource")
    panel.open("lab")
    page.route("**/api/contents/upload-*", lambda route: route.fulfill(status=500, body='{"message": "disk full"}'))
    source = tmp_path / "no.csv"
    source.write_text("x")
    panel.composer.locator("input[type=file]").set_input_files(source)
    alert = panel.composer.get_by_role("alert")
    expect(alert).to_contain_text("Could not upload")
    panel.button("Dismiss", alert).click()
    expect(panel.pills).to_have_count(0)


def test_a_file_dragged_from_the_file_browser_becomes_a_pill(panel: Panel, page: Page, lab: Lab) -> None:
    lab.write("drag me.txt", "dragged")
    panel.open("lab")
    drag(page, page.locator(".jp-DirListing-item", has_text="drag me.txt"), panel.text)
    expect(panel.composer).to_have_class("jp-Cellar-composer jp-mod-drop")
    page.mouse.up()
    expect(panel.pills.filter(has_text="drag me.txt")).to_be_visible()


def test_a_cell_dragged_from_the_notebook_becomes_a_pill(panel: Panel, page: Page) -> None:
    panel.open()
    cells = page.locator(".jp-Notebook .jp-Cell")
    expect(cells).to_have_count(20)
    drag(page, cells.nth(1).locator(".jp-InputArea-prompt"), panel.text)
    page.mouse.up()
    expect(panel.pills.filter(has_text="2")).to_be_visible()
    expect(cells).to_have_count(20)
