"""An archive's folder: JSON lines in zstd files, and a manifest that has their checksums.

``zstd -dc journal-*.jsonl.zst | jq .`` reads it. Files are for their owner only: what people did
and paid is in them. The manifest is written last; a folder without one is no archive.
"""

import hashlib
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, cast

import msgspec
import zstandard

from daemon.errors import ArchiveError
from meterd.rules.partitions import is_partitions

FORMAT: Final = "meterd-archive"
VERSION: Final = 2
READABLE: Final = (1, 2)
"""Version 1 is of a queue of one partition, and its lines do not name it."""
MANIFEST: Final = "manifest.json"
PARTIAL: Final = ".partial"
LINES_MAX: Final = 1_000_000
"""Lines of a file; then the next one begins."""
_LINE_BYTES_MAX: Final = 64 * 1024 * 1024
_MANIFEST_BYTES_MAX: Final = 64 * 1024 * 1024
_LEVEL: Final = 3
_BLOCK: Final = 1024 * 1024

Kind = Literal["journal", "unowned", "ledger", "records", "opening", "closing"]
KINDS: Final[tuple[Kind, ...]] = (
    "journal", "unowned", "ledger", "records", "opening", "closing",
)  # fmt: skip

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class FileEntry(msgspec.Struct, frozen=True):
    """A file of an archive, as the manifest has it."""

    name: str
    kind: Kind
    lines: int
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What an archive has. ``before`` is the first moment that is not in it."""

    format: str
    version: int
    meterd: str
    name: str
    from_ms: int
    cut_ms: int
    since: str
    before: str
    users: int
    last_entry: str
    partitions: list[str]
    """Those of the table, by time, that it has the rows of."""
    files: list[FileEntry]
    policies: dict[str, dict[str, Any]]
    """By id, as the journal's rows name them: what the fold needs besides the rows."""
    previous_sha256: str
    """Of the manifest of the archive before; empty for the first."""
    queue_partitions: int = 1
    """Into so many the accounts are shared out."""
    last_entries: dict[str, str] = {}
    """By the number of each partition of the queue that has any here."""

    def lines(self, kind: Kind) -> int:
        """Lines of one kind."""
        return sum(one.lines for one in self.files if one.kind == kind)

    @property
    def entries(self) -> int:
        """Rows of the journal."""
        return self.lines("journal") + self.lines("unowned")


class _Hashed(io.RawIOBase):
    """Writes into a file, and knows the checksum of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.bytes = 0

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self.bytes += len(data)
        self._file.write(data)
        return len(data)


class LinesWriter:
    """Writes lines of one kind into one file after the other, each safe on the disk when closed."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        """Nothing is made before the first line."""
        self._folder = folder
        self._kind = kind
        self._file: BinaryIO | None = None
        self._hashed: _Hashed | None = None
        self._compressed: Any = None
        self._lines = 0
        self.files: list[FileEntry] = []

    def write(self, document: Mapping[str, Any]) -> None:
        """Write one line."""
        if self._file is None:
            self._open()
        self._compressed.write(_encode(document) + b"\n")
        self._lines += 1
        if self._lines >= LINES_MAX:
            self.close()

    def close(self) -> None:
        """End the file at hand: nothing of it is in memory only."""
        if self._file is None or self._hashed is None:
            return
        self._compressed.flush(zstandard.FLUSH_FRAME)
        sync(self._file)
        self._file.close()
        entry = FileEntry(
            self._name(), self._kind, self._lines, self._hashed.bytes,
            self._hashed.sha256.hexdigest(),
        )  # fmt: skip
        self.files.append(entry)
        self._file, self._hashed, self._lines = None, None, 0

    def _open(self) -> None:
        self._file = _create(self._folder / self._name())
        self._hashed = _Hashed(self._file)
        compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self._compressed = compressor.stream_writer(cast("BinaryIO", self._hashed), closefd=False)

    def _name(self) -> str:
        return f"{self._kind}-{len(self.files) + 1:05}.jsonl.zst"


def begin_folder(folder: Path) -> Path:
    """Make the folder in which an archive is written; what an earlier run left of it goes.

    Raises:
        ArchiveError: it can't be made.
    """
    partial = folder.with_name(folder.name + PARTIAL)
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ArchiveError(
            f"{partial}: {error.strerror}\nName another folder with: --to FOLDER"
        ) from None
    return partial


def end_folder(partial: Path, folder: Path, manifest: Manifest) -> None:
    """Write the manifest, and give the folder its name: from then on it is an archive."""
    with _create(partial / MANIFEST) as file:
        file.write(msgspec.json.format(_encode(manifest), indent=2) + b"\n")
        sync(file)
    _sync_folder(partial)
    partial.rename(folder)
    _sync_folder(folder.parent)


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Give the manifest and its SHA-256.

    Raises:
        ArchiveError: there is none, or it can't be read.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            raw = file.read(_MANIFEST_BYTES_MAX + 1)
        if len(raw) > _MANIFEST_BYTES_MAX:
            raise ArchiveError(f"{path}: over {_MANIFEST_BYTES_MAX:,} bytes")
        manifest = msgspec.json.decode(raw, type=Manifest)
    except OSError as error:
        raise ArchiveError(
            f"{path}: {error.strerror}\nName the folder of an archive, which has {MANIFEST}"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{path}: no manifest of an archive: {error}") from None
    if manifest.format != FORMAT or manifest.version not in READABLE:
        raise ArchiveError(
            f"{path}: {manifest.format} of version {manifest.version}; "
            f"this meterd reads versions up to {VERSION} of {FORMAT}"
        )
    if not is_partitions(manifest.queue_partitions):
        raise ArchiveError(f"{path}: queue_partitions: {manifest.queue_partitions} is none")
    return manifest, hashlib.sha256(raw).hexdigest()


def fault_of(folder: Path, entry: FileEntry) -> str:
    """Why a file is not what the manifest says; empty if it is."""
    path, sha256 = folder / Path(entry.name).name, hashlib.sha256()
    try:
        if path.stat().st_size != entry.bytes:
            return f"{path.stat().st_size:,} bytes"
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                sha256.update(block)
    except OSError as error:
        return str(error.strerror)
    return "" if sha256.hexdigest() == entry.sha256 else f"sha256 {sha256.hexdigest()}"


def read_lines(folder: Path, manifest: Manifest, kind: Kind) -> Iterator[dict[str, Any]]:
    """Yield the lines of a kind, a little of each file in memory at a time.

    Raises:
        ArchiveError: a file can't be read.
    """
    for entry in manifest.files:
        if entry.kind == kind:
            yield from _lines_of(folder / Path(entry.name).name)


def _lines_of(path: Path) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        with path.open("rb") as file:
            decompressor = zstandard.ZstdDecompressor()
            raw: Any = decompressor.stream_reader(file, read_across_frames=True)
            lines = io.BufferedReader(raw, _BLOCK)
            while line := lines.readline(_LINE_BYTES_MAX):
                number += 1
                yield _decode(line)
    except (OSError, zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise ArchiveError(f"{path}: line {number}: {error}") from None


def sync(file: BinaryIO) -> None:
    """Put what was written onto the disk."""
    file.flush()
    os.fsync(file.fileno())


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
