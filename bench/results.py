"""bench/RESULTS.md: one section for each measurement, rewritten by the script that made it."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from restorer.bench.speed import Machine
from restorer.errors import UsageError

RESULTS = Path(__file__).with_name("RESULTS.md")
_PREFACE = """# Results

What stands between two marks is written by a script of this folder and replaced when it runs again with `--results`.
"""


def write_section(title: str, text: str, machine: Machine, path: Path = RESULTS) -> None:
    """Replaces the section `title` of the file at `path` by `text` (Markdown) and what it was measured on.

    Everything else in the file stays as it is; a title that is new there goes to the end. Raises UsageError as
    `with_section` does.
    """
    document = path.read_text() if path.is_file() else _PREFACE
    partial = path.with_name(path.name + ".partial")
    partial.write_text(with_section(document, title, f"{text.strip()}\n\n{provenance(machine, path)}"))
    partial.replace(path)


def with_section(document: str, title: str, body: str) -> str:
    """The document with `body` between the marks of `title`, under a heading; at its end if it has no such marks.

    Raises UsageError for a title that is not one plain line, and for a document whose marks do not come in a pair.
    """
    if title != " ".join(title.split()) or not title or "--" in title:
        raise UsageError(f"{title!r} cannot head a section: give one line without double hyphens")
    begin, end = f"<!-- begin {title} -->", f"<!-- end {title} -->"
    section = f"{begin}\n## {title}\n\n{body.strip()}\n{end}"
    if begin not in document and end not in document:
        return f"{document.rstrip()}\n\n{section}\n".lstrip()
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed) or begin in after or end in after:
        raise UsageError(f"the marks of section {title!r} are not one pair, begin before end: repair or remove them")
    return before + section + after


def provenance(machine: Machine, path: Path = RESULTS) -> str:
    """Device, threads, torch, prior, commit and day, in one line."""
    day = datetime.now(UTC).date().isoformat()
    threads = "1 thread" if machine.threads == 1 else f"{machine.threads} threads"
    facts = f"{machine.device}, {threads}, torch {machine.torch}; prior {machine.prior}"
    return f"Measured on {facts}; {_commit(path)}; {day}."


def _commit(path: Path) -> str:
    """The commit of the checkout that this file is in; files of results, like the one at `path`, are no change."""
    name = _git("rev-parse", "--short", "HEAD")
    if name is None:
        return "no commit"
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", f":(exclude,glob,top)**/{path.name}")
    return f"commit {name}" + (" with changes" if changed else "")


def _git(*words: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
