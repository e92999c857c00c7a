"""JupyterLab in Korean: the panel and the card speak Korean."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, Route, expect

from tests.fakes.scenarios import Scenario
from tests.fakes.vllm import FakeVLLM
from tests.ui.conftest import AllowConsole
from tests.ui.lab import Lab
from tests.ui.notebook import Notebook, code, notebook
from tests.ui.panel import Panel

HANGUL = re.compile(r"[가-힣]")


def test_the_panel_is_in_korean(page: Page, lab_ko: Lab, model: FakeVLLM) -> None:
    panel = Panel(page, lab_ko).open()
    expect(panel.root.get_by_role("heading", name="새 대화")).to_be_visible()
    expect(panel.root.get_by_text("이 노트북 요약")).to_be_visible()
    panel.ask("안녕하세요")
    panel.expect_answer("안녕하세요")
    expect(panel.button("다시 답변", panel.last_turn)).to_be_attached()
    # Lines break between words, not inside of them.
    expect(panel.last_answer).to_have_css("word-break", "keep-all")


def test_every_button_of_the_panel_has_a_korean_name(page: Page, lab_ko: Lab, model: FakeVLLM) -> None:
    panel = Panel(page, lab_ko).open()
    model.use(Scenario(text="```python\nx = 1\n```"))
    panel.ask("코드를 작성해 주세요")
    panel.expect_answer("x = 1")
    names = panel.root.get_by_role("button").evaluate_all(
        "buttons => buttons.map(b => b.getAttribute('aria-label') || b.title || b.textContent.trim())"
    )
    english = [name for name in names if name and not HANGUL.search(name) and re.search(r"[A-Za-z]{3}", name)]
    assert [name for name in english if "fake-coder" not in name and ".ipynb" not in name] == []


def test_a_failure_is_worded_in_korean(page: Page, lab_ko: Lab, model: FakeVLLM) -> None:
    panel = Panel(page, lab_ko).open()
    model.use("unauthorized")
    panel.ask("안녕하세요")
    panel.expect_state("error")
    expect(panel.last_turn).to_contain_text("모델 서버가 키를 받아들이지 않습니다")


def test_the_receipt_says_in_korean_why_something_was_not_sent_whole(page: Page, lab_ko: Lab, model: FakeVLLM) -> None:
    lab_ko.write("weights.bin", b"\x00\x01")
    lab_ko.write("long.txt", "".join(f"line {n}\n" for n in range(20_000)))
    lab_ko.write("AGENTS.md", "Answer in one sentence.\n" * 2_000)
    panel = Panel(page, lab_ko).open()
    for name in ("weights", "long"):
        panel.text.press_sequentially(f"@{name}")
        expect(panel.composer.get_by_role("option").first).to_contain_text(name)
        panel.text.press("Enter")
    panel.ask("무엇이 있나요?")
    panel.expect_state("complete")
    panel.last_turn.locator(".jp-Cellar-receiptButton").click()
    receipt = panel.last_turn.get_by_role("group", name="전송 내역")
    expect(receipt.get_by_role("row", name="weights.bin")).to_contain_text("읽을 수 없음, 텍스트가 아님")
    why = receipt.get_by_role("row", name="long.txt").locator("small")
    expect(why).to_have_text(re.compile(r"^잘림, [\d,]+자 중 [\d,]+자 제외$"))
    expect(receipt.get_by_role("row", name="규칙: AGENTS.md")).to_contain_text("잘림")
    told = receipt.locator("td, small, dt, dd, p").all_inner_texts()
    assert [text for text in told if re.search(r"[A-Za-z]{3}", text)] == []
    hints = receipt.locator("[title]").evaluate_all("all => all.map(each => each.title)")
    assert [hint for hint in hints if re.search(r"[A-Za-z]{3}", hint) and "." not in hint] == []


def test_an_upload_that_is_refused_says_why_in_korean(
    page: Page, lab_ko: Lab, model: FakeVLLM, allow_console: AllowConsole
) -> None:
    allow_console("Failed to load resource")
    panel = Panel(page, lab_ko).open("lab")
    page.route("**/api/contents/upload-*", lambda route: route.fulfill(status=413, body='{"message": "Too Large"}'))
    panel.composer.locator("input[type=file]").set_input_files(
        {"name": "no.csv", "mimeType": "text/csv", "buffer": b"x"}
    )
    expect(panel.composer.get_by_role("alert")).to_contain_text("서버가 받을 수 있는 크기보다 큰 파일입니다")


def test_numbers_are_written_in_the_language_of_lab_and_not_of_the_browser(
    browser: Browser, lab: Lab, model: FakeVLLM
) -> None:
    with browser.new_context(locale="de-DE") as context:
        panel = Panel(context.new_page(), lab).open()
        expect(panel.composer.locator(".jp-Cellar-meterButton")).to_have_attribute(
            "aria-label", re.compile(r"of \d+,\d{3} tokens")
        )


def test_the_settings_editor_words_the_panels_settings_in_korean(page: Page, lab_ko: Lab) -> None:
    Panel(page, lab_ko).open("lab")
    page.evaluate("window.jupyterapp.commands.execute('settingeditor:open', { query: 'Cellar' })")
    editor = page.locator("#setting-editor")
    editor.get_by_role("tab", name="Cellar").click()
    expect(editor).to_contain_text("Cellar 채팅 패널입니다.")
    for title in ("보내기 키", "활성 노트북과 선택 영역을 자동으로 추가", "추론 과정을 펼쳐서 표시"):
        expect(editor.get_by_text(title, exact=True)).to_be_visible()
    box = editor.get_by_role("checkbox", name="추론 과정을 펼쳐서 표시")
    box.check()
    expect(box).to_be_checked()
    expect(editor.get_by_text("보내기 키", exact=True)).to_be_visible()


def test_what_the_server_announces_is_in_korean(page: Page, lab_ko: Lab) -> None:
    def with_announcement(route: Route) -> None:
        answer = route.fetch()
        status = answer.json()
        text = "Conversations cannot be written to disk; they are kept in memory until they can."
        status["announcements"] = [
            {"id": "unsaved", "level": "error", "text": text},
            {"id": "setting-no_feature-exports", "level": "error", "text": "'exports' is no feature"},
            {"id": "setting-unreadable-export", "level": "error", "text": "export cannot be read"},
        ]
        route.fulfill(response=answer, json=status)

    page.route("**/cellar/api/status*", with_announcement)
    panel = Panel(page, lab_ko).open("lab")
    told = panel.root.get_by_role("alert")
    expect(told.nth(0)).to_contain_text("대화를 디스크에 저장하지 못하고 있습니다.")
    expect(told.nth(1)).to_contain_text("“exports”라는 기능은 없으므로")
    expect(told.nth(2)).to_contain_text("“export” 항목을 읽을 수 없어")


def test_the_meter_and_the_receipt_have_words_of_their_own(page: Page, lab_ko: Lab, model: FakeVLLM) -> None:
    panel = Panel(page, lab_ko).open("lab")
    panel.composer.locator(".jp-Cellar-meterButton").click()
    meter = panel.composer.get_by_role("dialog")
    expect(meter.get_by_role("row", name="내 질문")).to_contain_text("0")
    expect(meter).to_contain_text("이 모델의 컨텍스트 한도는")
    page.keyboard.press("Escape")
    panel.ask("password = 'hunter2pw' 왜 안 되나요?")
    panel.expect_state("complete")
    expect(panel.root.get_by_role("heading", name="•••")).to_be_visible()
    button = panel.last_turn.locator(".jp-Cellar-receiptButton")
    expect(button).to_have_accessible_name(re.compile(r"전송 내역, .*토큰 보냄, .*토큰 받음"))
    button.click()
    receipt = panel.last_turn.get_by_role("group", name="전송 내역")
    expect(receipt).to_contain_text("민감 정보 1건 가림")
    panel.ask("그럼 이제는요?")
    panel.expect_state("complete")
    panel.last_turn.locator(".jp-Cellar-receiptButton").click()
    later = panel.last_turn.get_by_role("group", name="전송 내역")
    expect(later.get_by_role("row", name="이전 메시지")).to_contain_text("민감 정보 2건 가림")  # asked and echoed
    expect(later).not_to_contain_text("보내기 전에 가린 민감 정보")


def test_the_card_is_in_korean(page: Page, lab_ko: Lab, model: FakeVLLM) -> None:
    lab_ko.write("work.ipynb", notebook(code("%load_ext cellar_jupyter", "load"), code("%ai 안녕?", "ask")))
    panel = Panel(page, lab_ko)
    page.goto(lab_ko.page_url("lab/tree/work.ipynb"))
    panel.wait_for_app()
    opened = Notebook(page)
    expect(opened.cells).to_have_count(2)
    page.evaluate(
        """async () => {
          const context = window.jupyterapp.shell.currentWidget.sessionContext;
          await context.ready;
          await context.session.kernel.info;
        }"""
    )
    opened.run(0)
    expect(opened.cells.first.locator(".jp-InputPrompt")).to_have_text("[1]:")
    opened.run(1)
    card = page.locator(".jp-Cellar-card")
    expect(card).to_contain_text("안녕?")
    expect(card.locator(".jp-Cellar-button").first).to_have_text("복사")
    expect(card.get_by_text("아래에 삽입")).to_be_visible()
    model.use("broken")
    opened.run(1)  # the kernel's own words, although its LANG is not Korean
    expect(opened.cells.nth(1).locator(".jp-OutputArea")).to_have_text("모델 서버에서 오류가 발생했습니다 (HTTP 500).")
