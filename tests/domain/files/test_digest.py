"""Digests of files equal published test vectors."""

from pathlib import Path

from marquee.files.digest import md5_of, sha256_of


def test_digests_equal_published_values(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert md5_of(path) == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180
