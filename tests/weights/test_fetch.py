"""Fetching weights, from a server of our own on this machine that drops, ignores and refuses as real ones do."""

import hashlib
import http.server
import io
import json
import stat
import threading
import zipfile

import numpy as np
import pytest

from attscale.errors import UserError, WeightsError
from attscale.weights import caffemodel, manifest
from attscale.weights.fetch import fetch
from conftest import one_line_error
from helpers import statedicts


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A caffemodel of 400 kB and some."""
    path = tmp_path_factory.mktemp("made") / "w"
    values = np.random.default_rng(0).normal(size=(100, 1000)).astype(np.float32)
    caffemodel.write(path, [caffemodel.Layer("fc8", "Convolution", (values,))])
    return path.read_bytes()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; the first answers break off after `drops` bytes; `tag` None and `ranges` False: it lacks them."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.drops, self.ranges, self.tag, self.log = {}, [], True, '"one"', []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.log.append(asked)
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        partial = asked and self.server.ranges and self.headers.get("If-Range") == self.server.tag
        if partial and begin >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if partial else 200)
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        if partial:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
            data = data[begin:]
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: self.server.drops.pop(0)] if self.server.drops else data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def entry(server, content):
    server.files["/w.caffemodel"] = content
    return make(url=f"{server.url}/w.caffemodel")


def make(**changes):
    given = {"name": "w", "what": "a test", "page": "http://page", "file": "w.caffemodel", "licence": "none"}
    return manifest.Entry(**given | changes)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_is_recorded_and_is_not_fetched_again(entry, server, content, tmp_path):
    (path,) = fetch(entry, tmp_path)
    assert path.read_bytes() == content
    digest = hashlib.sha256(content).hexdigest()
    assert json.loads((tmp_path / "checksums.json").read_text()) == {"w.caffemodel": digest}
    assert names(tmp_path) == ["checksums.json", "w.caffemodel"]
    fetch(entry, tmp_path)
    assert len(server.log) == 1


def test_a_state_dict_is_looked_at_as_one(server, tmp_path):
    """A page with status 200 is none; what comes then is."""
    entry = make(url=f"{server.url}/w.pth", file="w.pth")
    server.files["/w.pth"] = b"<html>moved</html>"
    with pytest.raises(WeightsError, match=r"neither safetensors nor .*; fetch it by hand from http://page"):
        fetch(entry, tmp_path)
    assert names(tmp_path) == []
    statedicts.save(tmp_path / "made", {"w": np.zeros(3, np.float32)})
    server.files["/w.pth"] = (tmp_path / "made").read_bytes()
    (path,) = fetch(entry, tmp_path)
    assert path.read_bytes() == server.files["/w.pth"]


def test_a_dropped_connection_is_taken_up_where_it_broke(entry, server, content, tmp_path):
    server.drops = [100_000, 50_000]
    (path,) = fetch(entry, tmp_path)
    assert server.log == [None, "bytes=100000-", "bytes=150000-"]
    assert path.read_bytes() == content


def test_the_next_call_goes_on_and_nothing_has_the_final_name_before(entry, server, content, tmp_path):
    server.drops = [1000] * 4
    with pytest.raises(WeightsError, match=r"lost 4 times; .*w\.caffemodel\.part holds 4000 bytes"):
        fetch(entry, tmp_path)
    assert names(tmp_path) == ["w.caffemodel.part", "w.caffemodel.part.etag"]
    (path,) = fetch(entry, tmp_path)
    assert server.log[-1] == "bytes=4000-"
    assert path.read_bytes() == content


def test_a_file_that_changed_meanwhile_is_begun_anew(entry, server, content, tmp_path):
    server.drops = [1000] * 4
    with pytest.raises(WeightsError):
        fetch(entry, tmp_path)
    server.tag = '"two"'
    (path,) = fetch(entry, tmp_path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("lack", ["ranges", "tag"])
def test_servers_that_cannot_resume(lack, entry, server, content, tmp_path):
    setattr(server, lack, False if lack == "ranges" else None)
    server.drops = [1000]
    (path,) = fetch(entry, tmp_path)
    assert server.log == [None, "bytes=1000-" if lack == "ranges" else None]
    assert path.read_bytes() == content


def test_all_bytes_there_but_not_yet_renamed(entry, server, content, tmp_path):
    (tmp_path / "w.caffemodel.part").write_bytes(content)
    (tmp_path / "w.caffemodel.part.etag").write_text(server.tag)
    (path,) = fetch(entry, tmp_path)
    assert path.read_bytes() == content
    assert server.log == [f"bytes={len(content)}-"]


def test_what_is_wrong_is_named_and_not_kept(entry, server, content, tmp_path):
    digest = hashlib.sha256(content).hexdigest()
    wrong = make(url=entry.url, sha256="0" * 64)
    with pytest.raises(WeightsError, match=f"sha256 is {digest}, but the manifest has 0{{64}}; fetch it by hand"):
        fetch(wrong, tmp_path)
    with pytest.raises(WeightsError, match=rf"has {len(content)} bytes, expected 5"):
        fetch(make(url=entry.url, size=5), tmp_path)
    server.files["/w.caffemodel"] = b"<!DOCTYPE html><html>This domain is for sale</html>"
    with pytest.raises(WeightsError, match=r"w\.caffemodel: not a caffemodel, or cut short; fetch it by hand"):
        fetch(entry, tmp_path)
    assert names(tmp_path) == []


def test_the_first_sha256_holds_from_then_on(entry, server, content, tmp_path):
    (path,) = fetch(entry, tmp_path)
    changed = content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes(changed)
    with pytest.raises(WeightsError, match=r"w\.caffemodel: sha256 is .*, but .*checksums\.json has "):
        fetch(entry, tmp_path)
    assert path.read_bytes() == changed  # a file of the user's is never removed
    path.unlink()
    server.files["/w.caffemodel"] = changed
    with pytest.raises(WeightsError, match=r"checksums\.json has "):
        fetch(entry, tmp_path)
    assert not path.exists()


def test_dead_links_and_files_without_address_say_what_to_do(server, content, tmp_path):
    what_to_do = r"fetch it by hand from http://page, put it at .*/w\.caffemodel, and run the same command again"
    with pytest.raises(WeightsError, match="404 Not Found; " + what_to_do):
        fetch(make(url=f"{server.url}/gone"), tmp_path)
    with pytest.raises(WeightsError, match="refused; " + what_to_do):
        fetch(make(url="http://127.0.0.1:1/w"), tmp_path)
    with pytest.raises(WeightsError, match=r"no address of w\.caffemodel is known; " + what_to_do):
        fetch(make(), tmp_path)
    assert names(tmp_path) == []
    (tmp_path / "w.caffemodel").write_bytes(content)
    assert fetch(make(), tmp_path) == [tmp_path / "w.caffemodel"]


def archive(members, links=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
        for name in links:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            file.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def test_members_of_an_archive(server, content, tmp_path):
    zipped = make(file="w.zip", url=f"{server.url}/w.zip", members={"init.caffemodel": "w_init.caffemodel"})
    server.files["/w.zip"] = archive({"net/": b"", "net/readme": b"x", "net/init.caffemodel": content})
    assert fetch(zipped, tmp_path) == [tmp_path / "w_init.caffemodel"]
    assert (tmp_path / "w_init.caffemodel").read_bytes() == content
    assert names(tmp_path) == ["checksums.json", "w.zip", "w_init.caffemodel"]
    (tmp_path / "w_init.caffemodel").write_bytes(b"damaged since")
    fetch(zipped, tmp_path)
    assert (tmp_path / "w_init.caffemodel").read_bytes() == content


@pytest.mark.parametrize(
    ("members", "links", "said"),
    [
        ({"../../evil": b"x", "init.caffemodel": b"w"}, (), r"'../../evil' would land outside of its folder"),
        ({"/evil": b"x", "init.caffemodel": b"w"}, (), "'/evil' would land outside"),
        ({}, ("init.caffemodel",), "'init.caffemodel' is a link or a device"),
        ({"other": b"x"}, (), "has no member init.caffemodel"),
        ({"a/init.caffemodel": None, "b/init.caffemodel": None}, (), "has two members init.caffemodel, expected one"),
        ({"init.caffemodel": b"x"}, (), r"w\.zip: init\.caffemodel: not a caffemodel"),
    ],
)
def test_archives_that_are_refused(members, links, said, server, content, tmp_path):
    """None: a good caffemodel."""
    members = {name: content if data is None else data for name, data in members.items()}
    server.files["/w.zip"] = archive(members, links)
    folder = tmp_path / "below" / "weights"
    with pytest.raises(UserError, match=said):
        fetch(make(file="w.zip", url=f"{server.url}/w.zip", members={"init.caffemodel": "out"}), folder)
    assert names(folder) == ["checksums.json", "w.zip"]
    assert names(tmp_path) == ["below"]


def test_a_page_in_place_of_an_archive(server, tmp_path):
    server.files["/w.zip"] = b"<html></html>"
    with pytest.raises(WeightsError, match="not a zip archive"):
        fetch(make(file="w.zip", url=f"{server.url}/w.zip", members={"a": "b"}), tmp_path)
    assert names(tmp_path) == []


def test_a_damaged_archive(server, content, tmp_path):
    data = bytearray(archive({"init.caffemodel": content}))
    data[len(data) // 2] ^= 0xFF
    server.files["/w.zip"] = bytes(data)
    with pytest.raises(UserError, match=r"w\.zip: init\.caffemodel: not readable: "):
        fetch(make(file="w.zip", url=f"{server.url}/w.zip", members={"init.caffemodel": "out"}), tmp_path)
    assert "out" not in names(tmp_path)


GOOD = '[w]\nwhat = "a test"\npage = "http://page"\nfile = "w.caffemodel"\nlicence = "none"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + 'md5 = "0"\n', "w: Entry: unknown key 'md5'"),
        (GOOD.replace("page", "url", 1), "w: Entry: the key 'page' is missing"),
        (GOOD + "size = 1.5\n", "w: Entry: size is 1.5, expected int"),
        (GOOD + GOOD, "declare .*w.* twice|overwrite"),
        ("w = 1", "not readable"),
        ("[[", "not readable"),
    ],
)
def test_manifests_that_are_refused(text, said, tmp_path):
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(UserError, match=rf"m\.toml: .*({said})"):
        manifest.read(tmp_path / "m.toml")


def test_the_command(entry, tool, tmp_path):
    assert "vgg16_20M " in tool("fetch_weights").stdout  # the repository's own manifest
    (tmp_path / "m.toml").write_text(GOOD + f'url = "{entry.url}"\n')
    done = tool("fetch_weights", "w", "--manifest", "m.toml", "--out", "here")
    assert done.returncode == 0, done.stderr
    assert "here/w.caffemodel: ready" in done.stdout
    one_line_error(tool("fetch_weights", "vgg16_20m"), "unknown weights 'vgg16_20m'", "vgg16_20M")
