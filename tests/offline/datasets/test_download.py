"""Downloads from a local HTTP server that serves ranges, breaks off responses and sends wrong content."""

import contextlib
import dataclasses
import hashlib
import io
import ssl
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from experiments.datasets.download import default_cache_folder, fetch_archive
from experiments.datasets.movielens import RELEASES, MovieLensRelease
from marquee.errors import SourceError

pytestmark = pytest.mark.server
INBOX = Path("data/inbox")


class FaultyServer(ThreadingHTTPServer):
    """HTTP server that can break off responses or ignore ranges, and that records its requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RequestHandler)
        self.files: dict[str, bytes] = {}
        self.max_body_bytes: int | None = None
        self.supports_ranges = True
        self.requests: list[tuple[str, str | None]] = []
        self.n_sent_bytes = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class RequestHandler(BaseHTTPRequestHandler):
    """Serves the files of a `FaultyServer`, entirely or from the start of a requested range."""

    server: FaultyServer

    def do_GET(self) -> None:
        range_header = self.headers.get("Range")
        self.server.requests.append((self.path, range_header))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        if range_header and self.server.supports_ranges:
            start = int(range_header.removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:][: self.server.max_body_bytes]
        # Count before writing: the test may read the count as soon as the client has the last byte.
        self.server.n_sent_bytes += len(body)
        self.wfile.write(body)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            super().handle()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FaultyServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def content() -> bytes:
    """Bytes of a zip archive with incompressible ratings."""
    noise = np.random.default_rng(0).bytes(300_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("ml-1m/ratings.dat", noise)
    return buffer.getvalue()


@pytest.fixture
def release(content: bytes, server: FaultyServer) -> MovieLensRelease:
    """Release ml-1m, with the checksum of the archive that the server offers."""
    server.files["/ml-1m.zip"] = content
    return dataclasses.replace(RELEASES["ml-1m"], md5=hashlib.md5(content).hexdigest())


def test_archive_is_downloaded_once(
    server: FaultyServer, release: MovieLensRelease, content: bytes, tmp_path: Path
) -> None:
    for _ in range(2):
        archive = fetch_archive(release, tmp_path, INBOX, server.url)
        assert archive.read_bytes() == content
    assert server.requests == [("/ml-1m.zip", None)]
    assert not archive.with_name("ml-1m.zip.part").exists()


def test_interrupted_download_resumes(
    server: FaultyServer, release: MovieLensRelease, content: bytes, tmp_path: Path
) -> None:
    server.max_body_bytes = 100_000
    with pytest.raises(SourceError, match="run the command again to resume"):
        fetch_archive(release, tmp_path, INBOX, server.url)
    n_received_bytes = (tmp_path / "ml-1m.zip.part").stat().st_size
    assert 0 < n_received_bytes <= 100_000
    server.max_body_bytes, server.n_sent_bytes = None, 0
    assert fetch_archive(release, tmp_path, INBOX, server.url).read_bytes() == content
    assert server.requests[-1] == ("/ml-1m.zip", f"bytes={n_received_bytes}-")
    assert server.n_sent_bytes == len(content) - n_received_bytes


def test_download_starts_over_if_the_server_ignores_ranges(
    server: FaultyServer, release: MovieLensRelease, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "ml-1m.zip.part").write_bytes(content[:1000])
    server.supports_ranges = False
    assert fetch_archive(release, tmp_path, INBOX, server.url).read_bytes() == content


def test_partial_download_longer_than_the_archive_is_discarded(
    server: FaultyServer, release: MovieLensRelease, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "ml-1m.zip.part").write_bytes(content + b"more")
    assert fetch_archive(release, tmp_path, INBOX, server.url).read_bytes() == content
    assert [range_header for _, range_header in server.requests] == [f"bytes={len(content) + 4}-", None]


def test_complete_partial_download_is_not_requested_again(
    server: FaultyServer, release: MovieLensRelease, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "ml-1m.zip.part").write_bytes(content)
    assert fetch_archive(release, tmp_path, INBOX, server.url).read_bytes() == content
    assert server.requests == []


def test_download_with_a_wrong_checksum_is_deleted(
    server: FaultyServer, release: MovieLensRelease, tmp_path: Path
) -> None:
    server.files["/ml-1m.zip"] = b"something else"
    with pytest.raises(SourceError, match=f"expected MD5 {release.md5}, got .*; the download was deleted"):
        fetch_archive(release, tmp_path, INBOX, server.url)
    assert [path.name for path in tmp_path.iterdir()] == ["ml-1m.zip.lock"]


def test_damaged_archive_in_the_cache_is_downloaded_again(
    server: FaultyServer, release: MovieLensRelease, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "ml-1m.zip").write_bytes(b"damaged")
    assert fetch_archive(release, tmp_path, INBOX, server.url).read_bytes() == content


def test_archive_that_changes_is_verified_with_its_published_checksum(
    server: FaultyServer, content: bytes, tmp_path: Path
) -> None:
    latest = RELEASES["ml-latest-small"]
    digest = hashlib.md5(content).hexdigest()
    server.files["/ml-latest-small.zip"] = content
    server.files["/ml-latest-small.zip.md5"] = f"MD5 (ml-latest-small.zip) = {digest}\n".encode()
    for _ in range(2):
        assert fetch_archive(latest, tmp_path, INBOX, server.url).read_bytes() == content
    assert len(server.requests) == 2
    (tmp_path / "ml-latest-small.zip").unlink()
    server.files["/ml-latest-small.zip.md5"] = b"0" * 32
    with pytest.raises(SourceError, match="expected MD5 0000"):
        fetch_archive(latest, tmp_path, INBOX, server.url)


def test_concurrent_callers_download_once(
    server: FaultyServer, release: MovieLensRelease, content: bytes, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(fetch_archive, release, tmp_path, INBOX, server.url) for _ in range(2)]
        assert [future.result().read_bytes() for future in futures] == [content, content]
    assert len(server.requests) == 1


def test_unreachable_server_error_says_where_to_put_the_archive(
    release: MovieLensRelease, server: FaultyServer, tmp_path: Path
) -> None:
    server.server_close()
    with pytest.raises(SourceError, match=r"put ml-1m.zip into data/inbox/ yourself") as caught:
        fetch_archive(release, tmp_path, INBOX, server.url)
    assert "\n" not in str(caught.value)


def test_expired_certificate_is_rejected_and_reported(
    release: MovieLensRelease, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = write_expired_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(SourceError, match=r"certificate is not valid \(.*expired.*put ml-1m.zip") as caught:
        fetch_archive(release, tmp_path / "cache", INBOX, server.url.replace("http:", "https:"))
    assert "\n" not in str(caught.value)
    assert server.requests == []


def write_expired_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a key and a certificate for 127.0.0.1 that expired yesterday, and return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now - timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    return folder / "key.pem", folder / "certificate.pem"


def test_missing_file_on_the_server_is_reported_with_status_404(
    release: MovieLensRelease, server: FaultyServer, tmp_path: Path
) -> None:
    del server.files["/ml-1m.zip"]
    with pytest.raises(SourceError, match=r"the server responded with status 404; .*put ml-1m\.zip"):
        fetch_archive(release, tmp_path, INBOX, server.url)


def test_unusable_cache_error_names_the_variable_to_set(
    release: MovieLensRelease, server: FaultyServer, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(
        SourceError, match=r"cannot use .*/cache as the download cache: .*; set MARQUEE_CACHE"
    ):
        fetch_archive(release, tmp_path / "cache", INBOX, server.url)


def test_cache_folder_is_set_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MARQUEE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / "marquee"
    monkeypatch.setenv("MARQUEE_CACHE", str(tmp_path / "own"))
    assert default_cache_folder() == tmp_path / "own"
