"""bench/RESULTS.md is written section by section, and a section measured again leaves the others as they are."""

from __future__ import annotations

from pathlib import Path

from bench import page

ORDER = ("first", "second", "third")


def test_a_section_takes_its_place_and_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    page.keep("third", "## Three\n\nhow\n\n| a |\n", "Measured then.", ORDER, results)
    page.keep("first", "## One\n\nhow\n\n| old |\n", "Measured then.", ORDER, results)
    before = page.places(results.read_text())
    page.keep("first", "## One\n\nhow\n\n| new |\n", "Measured now.", ORDER, results)
    after = page.places(results.read_text())
    assert list(after) == ["first", "third"], "in the order of the sections, not of the measurements"
    assert after["third"] == before["third"]
    assert after["first"] == "## One\n\n_Measured now._\n\nhow\n\n| new |"


def test_writing_the_same_section_twice_changes_nothing(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    for _ in range(2):
        page.keep("second", "## Two\n\nhow\n", "Measured then.", ORDER, results)
        written = results.read_text()
    page.keep("second", "## Two\n\nhow\n", "Measured then.", ORDER, results)
    assert results.read_text() == written
    assert written.count("## Causes of the misses") == 1


def test_the_results_that_are_kept_are_a_page_of_known_sections() -> None:
    from bench.__main__ import SECTIONS

    kept = page.places(page.RESULTS.read_text())
    assert set(kept) <= set(SECTIONS)
    assert all(text.startswith("## ") and "\n_Measured " in text for text in kept.values())
