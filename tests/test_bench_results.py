"""RESULTS.md: sections are replaced in their place, and nothing else is touched."""

import pytest
import results
from hypothesis import given
from hypothesis import strategies as st

from restorer.bench.speed import Machine
from restorer.errors import UsageError

MACHINE = Machine("Some CPU", 3, "2.11", "tiny")

letters = st.characters(codec="utf-8", exclude_characters="\r<")  # no marks within what is written
texts = st.text(letters, max_size=40)
titles = st.lists(st.sampled_from(["Seams", "Memory", "Quality: bwe", "Against the paper"]), min_size=1, unique=True)


@given(titles=titles, first=texts, second=texts)
def test_a_section_is_replaced_not_repeated_and_the_order_is_kept(titles: list[str], first: str, second: str) -> None:
    document = "# Results\n"
    for title in titles:
        document = results.with_section(document, title, first)
    for title in reversed(titles):
        document = results.with_section(document, title, second)
    again = "# Results\n"
    for title in titles:
        again = results.with_section(again, title, second)
    assert document == again
    places = [document.index(f"## {title}\n") for title in titles]
    assert places == sorted(places)
    assert document.count("<!-- begin ") == len(titles)


@given(before=texts, between=texts, after=texts, body=texts)
def test_what_others_wrote_stays(before: str, between: str, after: str, body: str) -> None:
    one, two = (results.with_section("", title, "old") for title in ("One", "Two"))
    document = before + one + between + two + after
    changed = results.with_section(document, "One", body)
    assert changed.startswith(before + "<!-- begin One -->")
    assert changed.endswith("<!-- end One -->\n" + between + two + after)


def test_writing_twice_says_what_was_measured_on_once(tmp_path) -> None:
    path = tmp_path / "RESULTS.md"
    results.write_section("Seams", "first", MACHINE, path)
    results.write_section("Memory", "| a |\n| - |", MACHINE, path)
    results.write_section("Seams", "second", MACHINE, path)
    written = path.read_text()
    assert written.startswith("# Results\n")
    assert "first" not in written
    assert written.index("second") < written.index("| a |")
    assert written.count("Measured on Some CPU, 3 threads, torch 2.11; prior tiny; ") == 2
    assert [file.name for file in tmp_path.iterdir()] == ["RESULTS.md"]


@pytest.mark.parametrize("title", ["", "two\nlines", " padded", "a -- b"])
def test_a_title_that_cannot_be_marked_is_refused(title: str) -> None:
    with pytest.raises(UsageError, match="cannot head a section"):
        results.with_section("", title, "text")


@pytest.mark.parametrize(
    "document",
    [
        "<!-- begin Seams -->\n",
        "<!-- end Seams -->\n",
        "<!-- end Seams -->\n<!-- begin Seams -->\n",
        "<!-- begin Seams -->\n<!-- end Seams -->\n" * 2,
    ],
)
def test_marks_that_are_no_pair_are_refused(document: str) -> None:
    with pytest.raises(UsageError, match="not one pair"):
        results.with_section(document, "Seams", "text")
