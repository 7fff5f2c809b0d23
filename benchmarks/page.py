"""`make bench-page`: has the page on performance show another run.

Tables and plots are made from `results.json` when the site is built. Only a whole run may be shown:
every suite, not a quick look.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Final

from benchmarks.document import Document
from benchmarks.suites import SUITES, tables_of

RESULTS: Final = Path(__file__).parent / "results.json"


def problem_of(document: Document) -> str:
    """Say why a run can't be shown; empty when it can."""
    if document.quick:
        return "it was only a quick look"
    measured = Counter(part.suite for part in document.parts if not part.missing)
    wanted = Counter(name for name, _ in tables_of(list(SUITES), pinned=None))
    missing = sorted(wanted - measured)
    return f"it lacks {', '.join(missing)}" if missing else ""


def main(file: Path) -> int:
    """Take a document as what the page shows; return the exit code."""
    document = Document.from_json(file.read_text(encoding="utf-8"))
    if problem := problem_of(document):
        sys.stderr.write(f"{file} is not for the page: {problem}; make bench measures all\n")
        return 1
    RESULTS.write_text(document.to_json(), encoding="utf-8")
    sys.stdout.write(f"{RESULTS.name} is replaced; `make docs` builds the page from it\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
