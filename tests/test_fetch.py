"""Fetching, against a server on this machine: only verified images ever appear in the final folder."""

from __future__ import annotations

import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from denoisebench.commands.listing import data_status
from denoisebench.core.errors import UserError
from denoisebench.core.files import file_sha256
from denoisebench.data.dataset import Archive, FolderSet
from denoisebench.data.fetch import CHUNK, _extract, facts, fetch, status
from denoisebench.data.manifest import entry_of, write_manifest
from denoisebench.plugins.registry import DATASETS

NAMES = ("101085.jpg", "3096.jpg")


class Server:
    """Files by path, in parts where asked for; each entry of `cuts` ends one answer after that many bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        #: What each answer began with, as (status, first byte).
        self.answers: list[tuple[int, int]] = []
        self.cuts: list[int] = []
        self.ranges = True
        self.validator: str | None = '"1"'
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                first = outer.first(self.headers["Range"], self.headers["If-Range"])
                status = 200 if first is None else 206 if first < len(content) else 416
                outer.answers.append((status, first or 0))
                body = b"" if status == 416 else content[first or 0 :]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if status == 206:
                    self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
                if outer.validator is not None:
                    self.send_header("ETag", outer.validator)
                self.end_headers()
                self.wfile.write(body[: outer.cuts.pop(0) if outer.cuts else None])

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def first(self, asked: str | None, condition: str | None) -> int | None:
        """The first byte of a partial answer; None for a whole one."""
        if not self.ranges or asked is None or condition not in (None, self.validator):
            return None
        return int(asked.removeprefix("bytes=").rstrip("-"))

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
    fetch(with_archive(tiny, sha256=file_sha256(tmp_path / "copy.tgz")), root, said.append)
    assert "not known" not in "\n".join(said)


def test_a_download_that_breaks_off_is_taken_up_again_at_once(
    tiny: type[FolderSet], server: Server, tmp_path: Path
) -> None:
    server.cuts, said = [2 * CHUNK + 5, CHUNK], list[str]()
    fetch(tiny, tmp_path, said.append)
    assert server.answers == [(200, 0), (206, 2 * CHUNK), (206, 3 * CHUNK)]
    total = len(server.files["/tiny.tgz"])
    assert f"tiny.tgz: going on after {3 * CHUNK:,} of {total:,} bytes" in said
    assert any("broke off after 16,384 bytes" in line for line in said)
    assert said.count("tiny.tgz: 100 % of 0.0 MB") == 1
    assert left_in(tmp_path / "tiny") == sorted(NAMES)


def test_the_next_call_goes_on_where_the_last_one_gave_up(
    tiny: type[FolderSet], server: Server, tmp_path: Path
) -> None:
    root, server.cuts = tmp_path / "root", [CHUNK, 10, CHUNK]
    with pytest.raises(UserError, match=r"failed .* 16,384 bytes of it are kept, and the same command goes on there"):
        fetch(tiny, root, lambda line: None)
    assert (root / ".denoisebench-tiny.tgz.part").read_bytes() == server.files["/tiny.tgz"][: 2 * CHUNK]
    assert not (root / "tiny").exists()
    fetch(tiny, root, lambda line: None)
    assert server.answers[-1] == (206, 2 * CHUNK)
    assert left_in(root) == ["tiny"]


@pytest.mark.parametrize("how", ["no ranges", "another file", "another length", "another address", "no tag"])
def test_a_part_of_something_else_is_never_continued(
    how: str, tiny: type[FolderSet], server: Server, tmp_path: Path
) -> None:
    root, server.cuts = tmp_path / "root", [1000, 0, 0]
    right = server.files["/tiny.tgz"]
    if how == "another length":
        server.validator = None
        server.files["/tiny.tgz"] = b"an older version " * 100
    with pytest.raises(UserError):
        fetch(tiny, root, lambda line: None)
    (root / ".denoisebench-tiny.tgz.part").write_bytes(b"x" * 1000)
    server.ranges = how != "no ranges"
    server.validator = '"2"' if how == "another file" else server.validator
    server.files["/other.tgz"] = server.files["/tiny.tgz"] = right
    if how == "no tag":
        (root / ".denoisebench-tiny.tgz.part.tag").unlink()
    kind = with_archive(tiny, url=f"{server.url}/other.tgz") if how == "another address" else tiny
    if how == "another address":
        for ending in (".part", ".part.tag"):
            (root / f".denoisebench-tiny.tgz{ending}").rename(root / f".denoisebench-other.tgz{ending}")
    fetch(kind, root, lambda line: None)
    assert server.answers[-1] == (200, 0)
    assert left_in(root) == ["tiny"]


def test_a_part_that_is_whole_already_is_not_asked_for_again_for_ever(
    tiny: type[FolderSet], server: Server, tmp_path: Path
) -> None:
    root, server.cuts = tmp_path / "root", [1000, 0, 0]
    with pytest.raises(UserError):
        fetch(tiny, root, lambda line: None)
    (root / ".denoisebench-tiny.tgz.part").write_bytes(server.files["/tiny.tgz"])
    fetch(tiny, root, lambda line: None)
    assert server.answers[-2][0] == 416
    assert server.answers[-1] == (200, 0)
    assert left_in(root) == ["tiny"]


def test_a_truncated_archive_is_deleted(tiny: type[FolderSet], server: Server, tmp_path: Path) -> None:
    whole = server.files["/tiny.tgz"]
    server.files["/tiny.tgz"] = whole[: len(whole) // 2]
    with pytest.raises(UserError, match=r"tiny\.tgz is damaged .*It was deleted; try again"):
        fetch(tiny, tmp_path / "root", lambda line: None)
    assert left_in(tmp_path / "root") == []
    server.files["/tiny.tgz"] = whole
    fetch(tiny, tmp_path / "root", lambda line: None)


def zipped(files: dict[str, bytes], link: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("BSDS300/", b"")
        for name, content in files.items():
            archive.writestr(name, content)
        if link:
            member = zipfile.ZipInfo(link)
            member.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(member, "/etc/hostname")
    return buffer.getvalue()


def test_a_zip_is_as_good_as_a_tar(tiny: type[FolderSet], server: Server, originals: Path, tmp_path: Path) -> None:
    files = {f"BSDS300/images/test/{name}": (originals / name).read_bytes() for name in NAMES}
    kind = with_archive(tiny, url=f"{server.url}/tiny.zip")
    # Images that the manifest does not name stay in the archive.
    server.files["/tiny.zip"] = zipped({**files, "BSDS300/images/test/stranger.jpg": b"no image"})
    fetch(kind, tmp_path / "a", lambda line: None)
    assert left_in(tmp_path / "a" / "tiny") == sorted(NAMES)
    whole = zipped(files)
    for content, message in (
        (whole[: len(whole) // 2], "is damaged"),
        (whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], "is damaged"),
        (zipped({"../evil.jpg": b"evil"}), "leaves the target folder"),
        (zipped(files, link="BSDS300/images/test/link.jpg"), "no plain file"),
    ):
        server.files["/tiny.zip"] = content
        with pytest.raises(UserError, match=message):
            fetch(kind, tmp_path / "b", lambda line: None)
        assert left_in(tmp_path / "b") == []
    assert not list(tmp_path.rglob("evil*"))


#: A zip of McM/a.txt, "hello world", enciphered with the password "secret".
LOCKED = bytes.fromhex(
    "504b03041400010000000000210085114a0d170000000b000000090000004d634d2f612e747874c889c95bb4deac0e5a9d7e"
    "6c69cf741199d430f6a6eb8b504b010214001400010000000000210085114a0d170000000b00000009000000000000000000"
    "00000000000000004d634d2f612e747874504b05060000000001000100370000003e0000000000"
)


def test_a_published_password_opens_a_zip(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(LOCKED)
    right = Archive("", None, "*.txt", "", password="secret")
    _extract(tmp_path / "a.zip", right, None, tmp_path)
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "hello world"
    for archive in (replace(right, password="wrong"), replace(right, password="")):
        with pytest.raises(UserError, match="password"):
            _extract(tmp_path / "a.zip", archive, None, tmp_path)


def test_named_files_need_no_manifest(tiny: type[FolderSet], server: Server, originals: Path, tmp_path: Path) -> None:
    assert tiny.archive is not None
    archive = replace(tiny.archive, url=f"{server.url}/i/{{file}}", files=NAMES)
    kind = type("Unlisted", (tiny,), {"manifest": None, "archive": archive})
    for name in NAMES:
        server.files[f"/i/{name}"] = (originals / name).read_bytes()
    said: list[str] = []
    fetch(kind, tmp_path, said.append)
    assert left_in(tmp_path / "tiny") == sorted(NAMES)
    assert "their content not checked" in said[-1]


def test_what_a_user_keeps_beside_the_data_is_left_alone(tiny: type[FolderSet], server: Server, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("tiny.part/mine.png", "tiny.tgz", "tiny.tgz.part", "tiny.tgz.part.tag"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("mine", encoding="utf-8")
    fetch(tiny, root, lambda line: None)
    server.files["/tiny.tgz"] = b"no archive"
    (root / "tiny").rename(tmp_path / "fetched")
    with pytest.raises(UserError):
        fetch(tiny, root, lambda line: None)
    assert left_in(root) == ["tiny.part", "tiny.tgz", "tiny.tgz.part", "tiny.tgz.part.tag"]
    assert (root / "tiny.part" / "mine.png").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("limit", ["LARGEST_DOWNLOAD", "LARGEST_MEMBER", "LARGEST_TOTAL", "MOST_MEMBERS"])
def test_a_download_and_what_it_unpacks_to_are_bounded(
    limit: str, tiny: type[FolderSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"denoisebench.data.fetch.{limit}", 2 if limit == "MOST_MEMBERS" else 12_000)
    with pytest.raises(UserError, match=r"holds|unpacks|download is of"):
        fetch(tiny, tmp_path / "root", lambda line: None)
    # Files that are fetched one by one stay for the next call, and so does their folder.
    assert left_in(tmp_path / "root") in ([], [".denoisebench-tiny.part"])
    assert not list((tmp_path / "root").rglob("*.jpg"))


def test_a_body_of_no_stated_length_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from denoisebench.data.fetch import _Bounded

    monkeypatch.setattr("denoisebench.data.fetch.LARGEST_DOWNLOAD", 100)
    with (tmp_path / "x").open("wb") as file:
        body = _Bounded(file, 50)
        body.write(bytes(50))
        with pytest.raises(UserError, match="goes on after 100 bytes"):
            body.write(b"x")
        body.restart()
        body.write(bytes(100))


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
    assert left_in(root) == [".denoisebench-tiny.part"]
    server.files[f"/images/{NAMES[1]}"] = (originals / NAMES[1]).read_bytes()
    fetch(kind, root, said.append)
    assert server.asked.count(f"/images/{NAMES[0]}") == 1
    assert left_in(root) == ["tiny"]
    assert "3096.jpg (2 of 2)" in said


def test_a_set_without_an_address_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        fetch(DATASETS.get("imagenet_val"), tmp_path, lambda line: None)
    message = str(caught.value)
    assert "'imagenet_val' cannot be fetched; get it by hand from https://image-net.org" in message
    assert f"put the files into {tmp_path / 'imagenet_val'}" in message
    assert "Licence: non-commercial research use, after registration" in message


def test_what_is_known_of_a_download_is_told_beforehand(tmp_path: Path) -> None:
    text = facts(DATASETS.get("set12"), tmp_path)
    assert "about 1.2 MB, 12 files, https://raw.githubusercontent.com/cszn/DnCNN/" in text
    assert "SHA-256 of its pixels" in text
    assert "The 12 gray images of DnCNN's tables." in text
    assert "not the same images" in text
    assert str(tmp_path / "set12") in text
    assert "not stated; research use" in text
    assert "SHA-256 not known" in facts(DATASETS.get("bsd300"), tmp_path)
    assert "by hand" in facts(DATASETS.get("imagenet_val"), tmp_path)


def test_the_command_tells_before_it_fetches(command: Callable[..., Any], tmp_path: Path) -> None:
    ran = command("data", "fetch", "kodak", "--plan", "--data-root", tmp_path)
    assert ran.code == 0
    assert "about 15 MB" in ran.out
    assert list(tmp_path.iterdir()) == []
    ran = command("data", "fetch", "imagenet_val", "--data-root", tmp_path)
    assert ran.code == 2
    assert "by hand" in ran.err


def test_every_declared_address_can_be_used() -> None:
    """Names that an address needs are known, and no address is of another set's images."""
    for name in DATASETS.names():
        kind = DATASETS.get(name)
        archive = getattr(kind, "archive", None)
        if archive is None:
            continue
        assert issubclass(kind, FolderSet)
        assert archive.url.startswith(("http://", "https://"))
        if "{file}" in archive.url:
            files = list(archive.files) or [entry.file for entry in kind([]).entries]
            assert len(files) == kind.count
        else:
            assert archive.members


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
    kinds = [DATASETS.get(name) for name in ("samples", "kodak", "urban100", "imagenet_val")]
    samples, kodak, urban, imagenet = status(kinds, [tmp_path])
    assert (samples.state, samples.message, samples.images) == ("present", "", 4)
    assert samples.folder is not None
    assert (kodak.state, kodak.folder, kodak.images, kodak.fetchable) == ("missing", None, 24, True)
    assert "denoisebench data fetch kodak" in kodak.message
    assert (urban.state, urban.folder, urban.fetchable) == ("damaged", tmp_path / "urban100", True)
    assert "1 image instead of 100" in urban.message
    assert (imagenet.state, imagenet.images, imagenet.expected) == ("partial", 1, 44_328)
    assert "unverified" in imagenet.message
    assert "non-commercial" in imagenet.licence


def test_the_status_names_what_else_lies_in_a_shared_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = DATASETS.get("set14")
    assert issubclass(kind, FolderSet)
    monkeypatch.setattr(kind, "_verify", lambda self, entry: None)
    folder = tmp_path / "set14"
    folder.mkdir()
    for name in [entry.file for entry in kind([tmp_path]).entries] + ["mine.png"]:
        Image.new("RGB", (8, 8)).save(folder / name)
    (found,) = status([kind], [tmp_path])
    assert (found.state, found.images, found.others) == ("present", 12, ["mine.png"])
    text = data_status(["set14"], tmp_path)
    assert text.splitlines()[0].endswith(", and 1 others in the folder")
    assert "Not of this set: mine.png" in text


def test_what_a_mac_puts_into_a_zip_is_left_there_and_no_file_overwrites_another(tmp_path: Path) -> None:
    every = Archive("", None, "*.png", "")
    (tmp_path / "a.zip").write_bytes(zipped({"set/a.png": b"image", "__MACOSX/set/._a.png": b"junk"}))
    (tmp_path / "out").mkdir()
    _extract(tmp_path / "a.zip", every, None, tmp_path / "out")
    assert left_in(tmp_path / "out") == ["a.png"]
    (tmp_path / "b.zip").write_bytes(zipped({"half/a.png": b"small", "whole/a.png": b"large"}))
    with pytest.raises(UserError, match=r"several files named a\.png"):
        _extract(tmp_path / "b.zip", every, None, tmp_path / "out")
