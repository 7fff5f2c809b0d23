"""What distributions say of themselves, as far as it can be read: their metadata, never their code.

What can't be read is no reason to say that nothing is there: `Metadata.damage` says what is wrong.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from civitas.errors import logger_of
from civitas.plugins.search_path import interpreter_path

if TYPE_CHECKING:
    from importlib_metadata import IDistribution as Distribution

CORE_REQUIREMENT: Final = re.compile(r"civitas[._-]+core(?![\w.-])", re.IGNORECASE)
"""How a requirement of civitas-core begins."""

_FIELD: Final = re.compile(r"^(Name|Version|Requires-Dist):[ \t]*(\S.*)", re.MULTILINE)
_REQUIRED: Final = re.compile(r"\s*([A-Za-z0-9][\w.-]*)")
_SECTION: Final = "[civitas"
"""How the sections of `entry_points.txt` begin that may be ours."""
_IDENTITY: Final = ("METADATA", "PKG-INFO", "")
"""Which files have a distribution's name; the last is metadata that is a file and no folder."""
_NO_VERSION: Final = "?"
_EMPTY: Final = " is empty"
_logger: Final = logger_of("civitas.plugins")
_warned: Final[set[str]] = set()


class Point(NamedTuple):
    """An entry point: a line in a section of `entry_points.txt`."""

    group: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a distribution says of itself.

    Attributes:
        name: its name as it writes it.
        version: its version; `?` where it says none.
        requirements: what it requires, as it writes it.
        points: its entry points in sections whose names begin as ours do.
        folder: where this was read.
        damage: why it can't be relied on; empty when all is well.
    """

    name: str
    version: str
    requirements: tuple[str, ...]
    points: tuple[Point, ...]
    folder: str
    damage: str = ""

    @property
    def place(self) -> str:
        """The entry of the path where the distribution was found."""
        return posixpath.dirname(self.folder)

    @property
    def is_for_core(self) -> bool:
        """Whether it requires civitas-core."""
        return any(map(CORE_REQUIREMENT.match, self.requirements))


def normalise(distribution: str) -> str:
    """Return the name under which a distribution is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def installed_version(name: str) -> str | None:
    """Return the version of a distribution; `None` where it can't be known, or is not there."""
    versions = (each.version for each in _copies_of(name))
    return next((each for each in versions if each != _NO_VERSION), None)


def requirements_of(name: str) -> list[str]:
    """Return the names of the distributions that a distribution requires, extras left out."""
    texts = next((each.requirements for each in _copies_of(name)), ())
    wanted = (each for each in texts if "extra ==" not in each.partition(";")[2])
    return [match[1] for each in wanted if (match := _REQUIRED.match(each))]


def modules_of(name: str) -> set[str]:
    """Return the names of the packages and modules that a distribution brings.

    Where its metadata does not list its files, they may have its own name.
    """
    found: set[str] = set()
    distribution = next(_distributions(name), None)
    if distribution is not None:
        listed = (distribution.read_text("top_level.txt") or "").split()
        files = (each.parts[0] for each in distribution.files or ())
        found = {each.partition(".")[0] for each in (*listed, *files)} - {""}
    return found or {normalise(name).replace("-", "_")}


def closed_folders() -> list[str]:
    """Return the folders of the interpreter's path that this user may not read."""
    modes = os.R_OK | os.X_OK
    return [e for e in interpreter_path() if os.path.isdir(e) and not os.access(e, modes)]  # noqa: PTH112


def survey(name: str | None, expected: Collection[str]) -> list[Metadata]:
    """Return what may have plugins, of all distributions on the interpreter's path.

    Where a distribution is there twice, the first counts, as for imports. To ask for the entry
    points of one `name` alone takes less time. A distribution that is `expected`, by its normalised
    name, is returned even if it has none.
    """
    for folder in closed_folders():
        _warn(f"{folder}, which is on Python's path, can't be read")
    copies: dict[str, list[Metadata]] = {}
    first_place: str | None = None
    for distribution in _distributions():
        folder = _folder_of(distribution)
        first_place = first_place or posixpath.dirname(folder)
        found = _relevant(distribution, name, expected)
        if found is not None:
            copies.setdefault(normalise(found.name), []).append(found)
    return [_counted(each, first_place) for each in copies.values()]


def _distributions(name: str | None = None) -> Iterator[Distribution]:
    import importlib_metadata

    query = {} if name is None else {"name": name}
    return iter(importlib_metadata.distributions(path=interpreter_path(), **query))


def _copies_of(name: str) -> Iterator[Metadata]:
    """Return the distributions of that name, in the order of the path."""
    return (_read_all(each, "", "") for each in _distributions(name))


def _relevant(
    distribution: Distribution, name: str | None, expected: Collection[str]
) -> Metadata | None:
    """Read what may have plugins. Most distributions have none, and to read all takes long."""
    stem = posixpath.basename(_folder_of(distribution))
    if stem.startswith("~"):
        return None  # pip was about to remove it
    is_expected = normalise(_from_stem(stem)[0]) in expected
    text, damage = _read(distribution, "entry_points.txt")
    is_ours = _SECTION in text and (name is None or name in text or bool(damage))
    if not (is_ours or is_expected or damage):
        return None
    found = _read_all(distribution, text, damage)
    is_relevant = is_ours or is_expected or found.is_for_core
    if found.damage and (is_relevant or not damage.endswith(_EMPTY)):
        _warn(f"{found.name} {found.version} is broken: {found.damage}")
    return found if is_relevant else None


def _counted(copies: Sequence[Metadata], first_place: str | None) -> Metadata:
    """Return that one of the copies of a distribution that counts."""
    sound = [each for each in copies if not each.damage] or copies
    first = next((each for each in sound if each.points), sound[0])
    rivals = [each for each in sound if each.place == first.place]
    if len({each.version for each in rivals}) > 1:
        first = _latest(rivals)
    if first.place == first_place:
        return first
    # One that offers nothing hides what comes after it all the same. There is none at all where a
    # folder that was made by hand has another name than its metadata.
    earliest = next((each for each in _copies_of(first.name) if not each.damage), first)
    if earliest.place == first.place:
        return first
    other = f"{earliest.name} {earliest.version} in {earliest.folder}"
    hidden = f"what it offers in {first.folder} is hidden by {other}, which comes first on the path"
    return replace(first, damage=f"{hidden}; remove one of the two")


def _latest(rivals: Sequence[Metadata]) -> Metadata:
    """Return the latest of several versions that are in one folder, where only one can be whole."""
    from packaging.version import InvalidVersion, Version

    def version_of(each: Metadata) -> Version:
        try:
            return Version(each.version)
        except InvalidVersion:
            return Version("0")

    *others, last = sorted(rivals, key=version_of)
    older = ", ".join(each.folder for each in others)
    _warn(f"{last.name} is installed twice: {last.version} counts; remove {older}")
    return last


def _read_all(distribution: Distribution, points: str, damage: str) -> Metadata:
    """Read what a distribution is; its entry points, and what is wrong with them, are given.

    The metadata ends in the distribution's whole README. Parsing that as a mail, as the library
    does, takes longer than all the rest of a scan, so the fields are looked for above it.
    """
    folder = _folder_of(distribution)
    parsed, mistake = _parse_points(points)
    reasons = [damage or mistake, "METADATA is missing"]
    text = ""
    for file in _IDENTITY:
        text, reason = _read(distribution, file)
        if text or reason:
            reasons[1] = reason
            break
    fields: list[tuple[str, str]] = _FIELD.findall(text.partition("\n\n")[0])
    values = {field: value.rstrip() for field, value in reversed(fields)}
    if text and "Name" not in values:
        reasons[1] = reasons[1] or "METADATA gives it no name"
    name, version = _from_stem(posixpath.basename(folder))
    name = values.get("Name", name)
    problem = "; ".join(f"its {each}" for each in reasons if each)
    repair = f'remove {folder}, then run: pip install "{name}"'
    return Metadata(
        name,
        values.get("Version", version),
        tuple(value for field, value in fields if field == "Requires-Dist"),
        tuple(parsed),
        folder,
        f"{problem}; {repair}" if problem else "",
    )


def _from_stem(stem: str) -> tuple[str, str]:
    """Return the name and the version of which the name of a folder with metadata is made."""
    name, _, rest = stem.rpartition(".")[0].partition("-")
    return name.replace("_", "-"), rest.partition("-")[0] or _NO_VERSION


def _parse_points(text: str) -> tuple[list[Point], str]:
    """Return the entry points in our sections, and what is wrong with one of them."""
    found, mistake, group = [], "", ""
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if line.startswith("["):
            group = line.strip("[]") if line.startswith(_SECTION) else ""
        elif group and line and not line.startswith("#"):
            name, separator, value = (part.strip() for part in line.partition("="))
            found.append(Point(group, name, value))
            if not separator:
                mistake = f"entry_points.txt has no '=' in line {number}"
    return found, mistake


def _read(distribution: Distribution, file: str) -> tuple[str, str]:
    """Return the text of a file, and what is wrong with it; both are empty where there is none."""
    try:
        raw = _bytes_of(distribution, file)
    except OSError as error:
        return "", f"{file} can't be read: {error.strerror or 'it is no file'}"
    if raw is None:
        return "", ""
    # What may be UTF-16 has NUL characters between the others, what a disk lost has nothing else.
    text = (
        raw.decode("utf-8-sig", "replace").lstrip("\ufffd").replace("\0", "").replace("\r\n", "\n")
    )
    if not raw.strip(b"\0"):
        return "", f"{file}{_EMPTY}"
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return text, f"{file} is not UTF-8: {error.reason} at byte {error.start}"
    return text, f"{file} is not UTF-8: it has NUL characters" if b"\0" in raw else ""


def _bytes_of(distribution: Distribution, file: str) -> bytes | None:
    path = _path_of(distribution)
    if not hasattr(path, "read_bytes"):
        text = distribution.read_text(file)
        return None if text is None else text.encode()
    if not file and path.is_dir():
        return None
    try:
        data: bytes = (path / file if file else path).read_bytes()
    except (FileNotFoundError, NotADirectoryError, KeyError):
        return None
    return data


def _folder_of(distribution: Distribution) -> str:
    return str(_path_of(distribution)).rstrip("/")  # in an archive it has one at its end


def _path_of(distribution: Distribution) -> Any:
    """Return the folder of a distribution's metadata, which may be in an archive.

    The library has it in a private attribute alone (importlib-metadata 10.2), and reads nothing
    that is not UTF-8; it keeps quiet about what it may not read.
    """
    path = getattr(distribution, "_path", None)
    return distribution.locate_file("") if path is None else path


def _warn(text: str) -> None:
    """Log a warning, once."""
    if text not in _warned:
        _warned.add(text)
        _logger.warning("%s", text)
