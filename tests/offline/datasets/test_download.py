"""Downloads from a real server on the loopback that serves ranges, breaks off, and lies."""

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

from experiments.datasets.download import cached_archive, default_cache
from experiments.datasets.movielens import DATASETS, Dataset
from marquee.errors import SourceError

pytestmark = pytest.mark.server
INBOX = Path("data/inbox")


class Server(ThreadingHTTPServer):
    """What is served, how, and what was asked of it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.break_off_after: int | None = None
        self.knows_ranges = True
        self.asked: list[tuple[str, str | None]] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = (
            int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.knows_ranges else 0
        )
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:][: self.server.break_off_after]
        # Counted first: a client that has the last byte may look before this thread goes on.
        self.server.sent += len(body)
        self.wfile.write(body)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            super().handle()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def content() -> bytes:
    noise = np.random.default_rng(0).bytes(300_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("ml-1m/ratings.dat", noise)
    return buffer.getvalue()


@pytest.fixture
def dataset(content: bytes, server: Server) -> Dataset:
    server.files["/ml-1m.zip"] = content
    return dataclasses.replace(DATASETS["ml-1m"], md5=hashlib.md5(content).hexdigest())


def test_the_archive_is_downloaded_once(server, dataset, content, tmp_path):
    for _ in range(2):
        archive = cached_archive(dataset, tmp_path, INBOX, server.url)
        assert archive.read_bytes() == content
    assert server.asked == [("/ml-1m.zip", None)]
    assert not archive.with_name("ml-1m.zip.part").exists()


def test_an_interrupted_download_sends_only_the_rest(server, dataset, content, tmp_path):
    server.break_off_after = 100_000
    with pytest.raises(SourceError, match="run again to resume"):
        cached_archive(dataset, tmp_path, INBOX, server.url)
    arrived = (tmp_path / "ml-1m.zip.part").stat().st_size
    assert 0 < arrived <= 100_000
    server.break_off_after, server.sent = None, 0
    assert cached_archive(dataset, tmp_path, INBOX, server.url).read_bytes() == content
    assert server.asked[-1] == ("/ml-1m.zip", f"bytes={arrived}-")
    assert server.sent == len(content) - arrived


def test_a_server_without_ranges_is_read_from_the_start(server, dataset, content, tmp_path):
    (tmp_path / "ml-1m.zip.part").write_bytes(content[:1000])
    server.knows_ranges = False
    assert cached_archive(dataset, tmp_path, INBOX, server.url).read_bytes() == content


def test_a_part_that_is_too_long_is_thrown_away(server, dataset, content, tmp_path):
    (tmp_path / "ml-1m.zip.part").write_bytes(content + b"more")
    assert cached_archive(dataset, tmp_path, INBOX, server.url).read_bytes() == content
    assert [wanted for _, wanted in server.asked] == [f"bytes={len(content) + 4}-", None]


def test_a_part_that_is_whole_is_not_downloaded_again(server, dataset, content, tmp_path):
    (tmp_path / "ml-1m.zip.part").write_bytes(content)
    assert cached_archive(dataset, tmp_path, INBOX, server.url).read_bytes() == content
    assert server.asked == []


def test_a_wrong_checksum_deletes_what_came(server, dataset, tmp_path):
    server.files["/ml-1m.zip"] = b"something else"
    with pytest.raises(SourceError, match=f"instead of {dataset.md5}: deleted; run again"):
        cached_archive(dataset, tmp_path, INBOX, server.url)
    assert [path.name for path in tmp_path.iterdir()] == ["ml-1m.zip.lock"]


def test_a_damaged_cache_is_downloaded_again(server, dataset, content, tmp_path):
    (tmp_path / "ml-1m.zip").write_bytes(b"damaged")
    assert cached_archive(dataset, tmp_path, INBOX, server.url).read_bytes() == content


def test_the_changing_archive_is_checked_by_its_published_checksum(server, content, tmp_path):
    latest = DATASETS["ml-latest-small"]
    digest = hashlib.md5(content).hexdigest()
    server.files["/ml-latest-small.zip"] = content
    server.files["/ml-latest-small.zip.md5"] = f"MD5 (ml-latest-small.zip) = {digest}\n".encode()
    for _ in range(2):
        assert cached_archive(latest, tmp_path, INBOX, server.url).read_bytes() == content
    assert len(server.asked) == 2
    (tmp_path / "ml-latest-small.zip").unlink()
    server.files["/ml-latest-small.zip.md5"] = b"0" * 32
    with pytest.raises(SourceError, match="instead of 0000"):
        cached_archive(latest, tmp_path, INBOX, server.url)


def test_two_at_once_download_once(server, dataset, content, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(cached_archive, dataset, tmp_path, INBOX, server.url) for _ in range(2)]
        assert [done.result().read_bytes() for done in both] == [content, content]
    assert len(server.asked) == 1


def test_a_server_that_is_down_says_where_to_put_the_file_by_hand(dataset, server, tmp_path):
    server.server_close()
    with pytest.raises(SourceError, match=r"put ml-1m.zip into data/inbox/ by hand") as caught:
        cached_archive(dataset, tmp_path, INBOX, server.url)
    assert "\n" not in str(caught.value)


def test_an_expired_certificate_is_refused_and_named(dataset, server, tmp_path, monkeypatch):
    key, certificate = expired_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(SourceError, match=r"certificate was refused \(.*expired.*put ml-1m.zip") as caught:
        cached_archive(dataset, tmp_path / "cache", INBOX, server.url.replace("http:", "https:"))
    assert "\n" not in str(caught.value)
    assert server.asked == []


def expired_certificate(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate of 127.0.0.1 that ended yesterday."""
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


def test_a_missing_page_is_one_line(dataset, server, tmp_path):
    del server.files["/ml-1m.zip"]
    with pytest.raises(SourceError, match=r"the server answered 404; put ml-1m\.zip"):
        cached_archive(dataset, tmp_path, INBOX, server.url)


def test_a_cache_that_cannot_be_written_is_one_line(dataset, server, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(SourceError, match="cannot be used as the download cache"):
        cached_archive(dataset, tmp_path / "cache", INBOX, server.url)


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("MARQUEE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "marquee"
    monkeypatch.setenv("MARQUEE_CACHE", str(tmp_path / "own"))
    assert default_cache() == tmp_path / "own"
