"""Fetching, against a server on this machine: only verified images ever appear in the final folder."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisebench.dataset import Archive, FolderSet, entry_of, file_hash, write_manifest
from denoisebench.errors import UserError
from denoisebench.fetch import fetch, status
from denoisebench.registry import DATASETS

NAMES = ("101085.jpg", "3096.jpg")


class Server:
    """Files by path; `cut` makes the next answers stop after that many bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.cut: int | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                content = outer.files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write((content or b"")[: outer.cut])

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    yield running
    running.close()


@pytest.fixture
def originals(tmp_path: Path) -> Path:
    folder = tmp_path / "originals"
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        pixels = np.random.default_rng(seed).integers(0, 256, (90, 120, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name, quality=95)
    write_manifest(tmp_path / "tiny.tsv", [entry_of(folder / name) for name in NAMES])
    return folder


@pytest.fixture
def tiny(originals: Path, server: Server) -> type[FolderSet]:
    """A set in a tar of the layout of BSDS300-images.tgz."""

    class Tiny(FolderSet):
        name = "tiny"
        title = "Tiny"
        channels = 3
        source = "the tiny page"
        licence = "free"
        folders = ("tiny",)
        manifest = originals.parent / "tiny.tsv"
        count = 2
        archive = Archive(f"{server.url}/tiny.tgz", None, "*images/test/*.jpg", "1 MB")

    server.files["/tiny.tgz"] = packed({f"BSDS300/images/test/{n}": (originals / n).read_bytes() for n in NAMES})
    return Tiny


def packed(files: dict[str, bytes], links: tuple[str, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in {
            "BSDS300/iids_test.txt": b"3096\n",
            "BSDS300/images/train/1.jpg": b"",
            **files,
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
            tar.addfile(member)
    return buffer.getvalue()


def with_archive(kind: type[FolderSet], **changes: str) -> type[FolderSet]:
    assert kind.archive is not None
    return type("Changed", (kind,), {"archive": replace(kind.archive, **changes)})


def left_in(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir()) if root.is_dir() else []


def test_an_archive_is_fetched_checked_and_announced(tiny: type[FolderSet], server: Server, tmp_path: Path) -> None:
    root, said = tmp_path / "new" / "root", list[str]()
    folder = fetch(tiny, root, said.append)
    assert folder == root / "tiny"
    assert left_in(folder) == sorted(NAMES)
    assert left_in(root) == ["tiny"]
    tiny([root]).verify()
    text = "\n".join(said)
    assert f"{server.url}/tiny.tgz" in text
    assert str(folder) in text
    assert "licence: free" in text
    assert "its true SHA-256 is not known" in text
    assert "tiny.tgz: 100 % of 0.0 MB" in text
    assert "2 images" in said[-1]


def test_a_set_that_is_there_is_not_fetched_again(tiny: type[FolderSet], server: Server, tmp_path: Path) -> None:
    fetch(tiny, tmp_path, lambda line: None)
    said: list[str] = []
    fetch(tiny, tmp_path, said.append)
    assert server.asked == ["/tiny.tgz"]
    assert said == [f"tiny: already in {tmp_path / 'tiny'}, verified"]


def test_a_known_checksum_is_enforced(tiny: type[FolderSet], server: Server, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with pytest.raises(UserError, match=r"tiny\.tgz has SHA-256 [0-9a-f]{64} instead of 0000.*It was deleted"):
        fetch(with_archive(tiny, sha256="0" * 64), root, lambda line: None)
    assert left_in(root) == []
    (tmp_path / "copy.tgz").write_bytes(server.files["/tiny.tgz"])
    said: list[str] = []
    fetch(with_archive(tiny, sha256=file_hash(tmp_path / "copy.tgz")), root, said.append)
    assert "not known" not in "\n".join(said)


def test_a_download_that_was_cut_off_starts_again(tiny: type[FolderSet], server: Server, tmp_path: Path) -> None:
    root = tmp_path / "root"
    server.cut = 1000
    with pytest.raises(UserError, match=r"(failed|damaged) .*[Tt]ry again"):
        fetch(tiny, root, lambda line: None)
    assert left_in(root) == []
    (root / "tiny.part").mkdir()
    (root / "tiny.tgz.part").write_bytes(b"left by a killed program")
    server.cut = None
    fetch(tiny, root, lambda line: None)
    assert left_in(root) == ["tiny"]


def test_an_address_that_is_gone_is_named(tiny: type[FolderSet], server: Server, tmp_path: Path) -> None:
    server.files.clear()
    with pytest.raises(UserError, match=r"download of http://127.*/tiny\.tgz failed \(404"):
        fetch(tiny, tmp_path / "root", lambda line: None)


def test_something_that_is_no_archive_is_refused(tiny: type[FolderSet], server: Server, tmp_path: Path) -> None:
    server.files["/tiny.tgz"] = b"<html>We moved</html>" * 50
    with pytest.raises(UserError, match=r"tiny\.tgz is damaged"):
        fetch(tiny, tmp_path / "root", lambda line: None)
    assert left_in(tmp_path / "root") == []


@pytest.mark.parametrize(
    "name",
    ["../images/test/evil.jpg", "/images/test/evil.jpg", "a/../../evil.txt", "images/test/..\\evil.jpg"],
)
def test_members_that_leave_the_folder_are_refused(
    name: str, tiny: type[FolderSet], server: Server, tmp_path: Path
) -> None:
    server.files["/tiny.tgz"] = packed({name: b"evil"})
    with pytest.raises(UserError, match="leaves the target folder or is no plain file"):
        fetch(tiny, tmp_path / "root", lambda line: None)
    assert left_in(tmp_path / "root") == []
    assert not list(tmp_path.rglob("*evil*"))


def test_links_are_refused(tiny: type[FolderSet], server: Server, tmp_path: Path) -> None:
    server.files["/tiny.tgz"] = packed({}, links=("BSDS300/images/test/3096.jpg",))
    with pytest.raises(UserError, match=r"3096\.jpg', which leaves the target folder or is no plain file"):
        fetch(tiny, tmp_path / "root", lambda line: None)


def test_other_images_than_those_of_the_manifest_are_refused(
    tiny: type[FolderSet], server: Server, originals: Path, tmp_path: Path
) -> None:
    first = (originals / NAMES[0]).read_bytes()
    server.files["/tiny.tgz"] = packed({f"BSDS300/images/test/{name}": first for name in NAMES})
    with pytest.raises(UserError, match=r"sent is not data set 'tiny'.*3096\.jpg was altered.*deleted"):
        fetch(tiny, tmp_path / "root", lambda line: None)
    assert left_in(tmp_path / "root") == []


def test_a_folder_with_something_else_in_it_is_left_alone(tiny: type[FolderSet], tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "mine.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(UserError, match=r"is in the way .*Move the folder away"):
        fetch(tiny, tmp_path, lambda line: None)
    assert (tmp_path / "tiny" / "mine.txt").read_text(encoding="utf-8") == "precious"


def test_single_files_are_fetched_and_an_interrupted_run_goes_on(
    tiny: type[FolderSet], server: Server, originals: Path, tmp_path: Path
) -> None:
    kind = with_archive(tiny, url=f"{server.url}/images/{{file}}")
    root, said = tmp_path / "root", list[str]()
    server.files[f"/images/{NAMES[0]}"] = (originals / NAMES[0]).read_bytes()
    with pytest.raises(UserError, match=r"3096\.jpg failed"):
        fetch(kind, root, said.append)
    assert left_in(root) == ["tiny.part"]
    server.files[f"/images/{NAMES[1]}"] = (originals / NAMES[1]).read_bytes()
    fetch(kind, root, said.append)
    assert server.asked.count(f"/images/{NAMES[0]}") == 1
    assert left_in(root) == ["tiny"]
    assert "3096.jpg (2 of 2)" in said


def test_a_set_without_an_address_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        fetch(DATASETS.get("urban100"), tmp_path, lambda line: None)
    message = str(caught.value)
    assert "'urban100' cannot be fetched; get it by hand from https://github.com/jbhuang0604/SelfExSR" in message
    assert f"put the files into {tmp_path / 'urban100'}" in message
    assert "Only the *_HR.png files count." in message


def test_the_official_addresses_are_declared() -> None:
    for name, ending in (("kodak", "/kodak/{file}"), ("bsd300", "/BSDS300-images.tgz")):
        kind = DATASETS.get(name)
        assert issubclass(kind, FolderSet)
        assert kind.archive is not None
        assert kind.archive.url.endswith(ending)


def test_the_status_tells_present_missing_and_damaged_apart(tmp_path: Path) -> None:
    (tmp_path / "urban100").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "urban100" / "x_HR.png")
    (tmp_path / "imagenet_val").mkdir()
    Image.new("RGB", (300, 300)).save(tmp_path / "imagenet_val" / "x.png")
    samples, kodak, urban, imagenet = status(["samples", "kodak", "urban100", "imagenet_val"], [tmp_path])
    assert (samples.state, samples.message, samples.images) == ("present", "", 4)
    assert samples.folder is not None
    assert (kodak.state, kodak.folder, kodak.images, kodak.fetchable) == ("missing", None, 24, True)
    assert "denoisebench data fetch kodak" in kodak.message
    assert (urban.state, urban.folder, urban.fetchable) == ("damaged", tmp_path / "urban100", False)
    assert "1 images instead of 100" in urban.message
    assert (imagenet.state, imagenet.images) == ("present", 1)
    assert "unverified" in imagenet.message
    assert "non-commercial" in imagenet.licence


def test_the_status_of_an_unknown_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'kodak'"):
        status(["kodka"], [tmp_path])
