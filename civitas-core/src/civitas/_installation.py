"""The installation: to import this refuses a package that has files of another distribution.

A distribution of another project, `civitas`, has a package of the same name. pip installs one over
the other without a word: files that both have become those of the later one, and the others stay
side by side. What its releases have at their top, and this package has not, gives it away.

| installed last | `civitas/__init__.py` is | so it is found by |
|---|---|---|
| civitas-core | ours | `civitas/__init__.py` |
| the other | the other's | `civitas/serializer/`: theirs is a module, and Python prefers a folder |

So both of these import this module before anything else of ours. Where one of the two
distributions was uninstalled again, files that both had are gone: `civitas` has no `__init__.py`
then, and no code of ours runs that could say so.
"""

from __future__ import annotations

import os
import sys
from typing import Final

FOREIGN: Final = frozenset({"bus.py", "config.py", "observability", "serializer.py"})
"""What each release of the other has, from 0.1 on; none may become a name of ours."""


def _refuse_foreign_files(package: str) -> None:
    try:
        found = sorted(FOREIGN.intersection(os.listdir(package)))  # noqa: PTH208 - pathlib is slow to load
    except OSError:
        return  # in an archive or a frozen program, where pip installs nothing
    if not found:
        return
    name, version = _owner_of(found[0])
    pip = f"{sys.executable} -m pip"
    raise ImportError(
        f"{package} has files of two distributions: of civitas-core, and of {name}{version}, "
        f"which is another project ({', '.join(found)}). Whichever was installed last has "
        f"replaced files of the other, and `pip check` does not see it. An environment can have "
        f"one of the two. For civitas-core, run:\n"
        f"    {pip} uninstall {name} civitas-core\n"
        f"    {pip} install civitas-core",
        name="civitas",
    )


def _owner_of(entry: str) -> tuple[str, str]:
    """Return the distribution that has something in this package: its name, and its version."""
    from importlib.metadata import distributions  # slow to load

    for each in distributions():
        if any(file.parts[:2] == ("civitas", entry) for file in each.files or ()):
            return each.name, f" {each.version}"
    return "civitas", ""


_refuse_foreign_files(os.path.dirname(__file__))  # noqa: PTH120 - pathlib is slow to load
