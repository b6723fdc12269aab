"""Extraction of untrusted archives."""

import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.datasets.archive_extraction import (
    ArchiveLimits,
    extract_members,
    is_archive,
    list_archive_files,
)
from marquee.errors import SourceError

RATINGS_ONLY = {"ml/ratings.csv": "ratings.csv"}
MakeArchive = Callable[[Path, dict[str, bytes]], Path]


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, destination in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, destination
            archive.addfile(info)
    return path


def patch_central_directory(path: Path, offset: int, pack_format: str, value: int) -> None:
    """Overwrite a field of a zip archive's last entry in the central directory."""
    data = bytearray(path.read_bytes())
    struct.pack_into(pack_format, data, data.rfind(b"PK\x01\x02") + offset, value)
    path.write_bytes(data)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Empty folder for extracted files, two levels below the folder of the archive."""
    folder = tmp_path / "deep" / "target"
    folder.mkdir(parents=True)
    return folder


both_formats = pytest.mark.parametrize(("make", "name"), [(make_zip, "a.zip"), (make_tar, "a.tar.gz")])


@both_formats
def test_only_selected_members_are_written_under_the_requested_names(
    tmp_path: Path, target: Path, make: MakeArchive, name: str
) -> None:
    archive = make(tmp_path / name, {"ml/ratings.csv": b"a,b\n", "ml/README": b"hello", "ml/links.csv": b"x"})
    extract_members(archive, RATINGS_ONLY, target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {"ratings.csv": b"a,b\n"}


@both_formats
def test_archive_is_recognized_and_its_files_are_listed(tmp_path: Path, make: MakeArchive, name: str) -> None:
    archive = make(tmp_path / name, {"ml/ratings.csv": b"a,b\n", "ml/README": b"hello"})
    assert is_archive(archive)
    assert list_archive_files(archive) == ["ml/ratings.csv", "ml/README"]


@pytest.mark.parametrize(
    "evil_name", ["../evil.csv", "ml/../../evil.csv", "..\\evil.csv", "/etc/evil.csv", "C:\\evil.csv"]
)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_archive_with_a_path_outside_its_folder_is_rejected(
    tmp_path: Path, target: Path, make: MakeArchive, evil_name: str
) -> None:
    archive = make(tmp_path / "archive", {evil_name: b"evil", "ml/ratings.csv": b"a,b\n"})
    with pytest.raises(SourceError, match=r"leads out of the archive|has an absolute path"):
        extract_members(archive, RATINGS_ONLY, target)
    assert list(target.iterdir()) == []
    assert not list(tmp_path.rglob("evil*"))


@given(
    name=st.text(min_size=1, max_size=20).map(lambda text: f"../{text}")
    | st.sampled_from(["/a", "a/../../b"])
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_written_outside_the_target(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("zip")
    (folder / "target").mkdir()
    archive = make_zip(folder / "a.zip", {name: b"evil"})
    with pytest.raises(SourceError, match="is not safe to unpack"):
        extract_members(archive, {name: "ratings.csv"}, folder / "target")
    assert sorted(path.name for path in folder.rglob("*")) == ["a.zip", "target"]


def test_link_in_a_zip_is_rejected(tmp_path: Path, target: Path) -> None:
    info = zipfile.ZipInfo("ml/ratings.csv")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceError, match=r"'ml/ratings.csv' is a link; if you trust it, unpack it yourself"):
        extract_members(tmp_path / "a.zip", RATINGS_ONLY, target)


def test_link_in_a_tar_is_rejected(tmp_path: Path, target: Path) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", {"x": b"x"}, {"ml/ratings.csv": "/etc/passwd"})
    with pytest.raises(SourceError, match=r"'ml/ratings.csv' is a link"):
        extract_members(archive, RATINGS_ONLY, target)


@both_formats
def test_decompression_bomb_is_rejected_by_its_compression_ratio(
    tmp_path: Path, target: Path, make: MakeArchive, name: str
) -> None:
    archive = make(tmp_path / name, {"ml/ratings.csv": bytes(20 << 20)})
    with pytest.raises(SourceError, match="more than 200 times its size"):
        extract_members(archive, RATINGS_ONLY, target)
    assert list(target.iterdir()) == []


def test_archive_over_the_size_limit_is_rejected(tmp_path: Path, target: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"ml/ratings.csv": bytes(range(256)) * 8, "other": bytes(2000)})
    with pytest.raises(SourceError, match="unpacks to more than 3,000 bytes"):
        extract_members(archive, RATINGS_ONLY, target, ArchiveLimits(bytes=3000))


def test_archive_over_the_member_limit_is_rejected(tmp_path: Path, target: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {f"ml/{n}": b"" for n in range(12)})
    with pytest.raises(SourceError, match="more than 10 members"):
        extract_members(archive, RATINGS_ONLY, target, ArchiveLimits(members=10))


@pytest.mark.parametrize(
    ("claimed_size", "message"),
    [(10, "Bad CRC-32"), (5_000_000, "should have 5,000,000 bytes, got 3,145,728")],
)
def test_member_with_a_false_size_in_its_header_is_rejected(
    tmp_path: Path, target: Path, claimed_size: int, message: str
) -> None:
    archive = make_zip(tmp_path / "a.zip", {"ml/ratings.csv": bytes(3 << 20)})
    patch_central_directory(archive, 24, "<I", claimed_size)  # uncompressed size
    with pytest.raises(SourceError, match=message):
        extract_members(archive, RATINGS_ONLY, target, ArchiveLimits(ratio=1e9))
    assert sum(path.stat().st_size for path in target.iterdir()) <= 3 << 20


def test_encrypted_member_is_rejected(tmp_path: Path, target: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"ml/ratings.csv": b"a,b\n"})
    patch_central_directory(archive, 8, "<H", 1)  # flags
    with pytest.raises(SourceError, match="is encrypted"):
        extract_members(archive, RATINGS_ONLY, target)


def test_repeated_member_name_is_rejected(tmp_path: Path, target: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ml/ratings.csv", "one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("ml/ratings.csv", "two")
    with pytest.raises(SourceError, match="occurs twice"):
        extract_members(tmp_path / "a.zip", RATINGS_ONLY, target)


def test_missing_member_error_lists_the_members(tmp_path: Path, target: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"cats/cat.jpg": b"", "cats/dog.jpg": b""})
    with pytest.raises(
        SourceError, match=r"does not contain ml/ratings.csv \(its files: cats/cat.jpg, cats/dog.jpg\)"
    ):
        extract_members(archive, RATINGS_ONLY, target)


def test_truncated_archive_is_reported_in_one_line(tmp_path: Path, target: Path) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", {"ml/ratings.csv": bytes(range(256)) * 400})
    archive.write_bytes(archive.read_bytes()[:600])
    with pytest.raises(SourceError, match="cannot be unpacked") as caught:
        extract_members(archive, RATINGS_ONLY, target)
    assert "\n" not in str(caught.value)
