import functools
import http.server
import inspect
import json
import shutil
import sys
import threading
import types
from importlib import resources

import numpy as np
import pytest
import soundfile
from shared_bundles import made_up_export, made_up_style, packed

from vast_jax.face.model import load_face_model
from vast_jax.files import sha256
from vast_jax.generation import avatar_bundle
from vast_jax.infer import Args, infer
from vast_jax.share.__main__ import main
from vast_jax.share.fetching import fetch
from vast_jax.share.verifying import Here, models_in_use, verify
from vast_jax.types import UserError
from vast_jax.weights import exports
from vast_jax.weights.bundle import LARGEST, write_manifest


@pytest.fixture(scope="module")
def here():
    return models_in_use()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with an avatar, a style and the avatar's bundle as a folder, and the address at which it is served."""
    folder = tmp_path_factory.mktemp("site")
    export = made_up_export(tmp_path_factory.mktemp("avatar") / "export")
    packed(export, folder / "ann.zip")
    packed(export, folder / "ann")
    made_up_style(folder / "calm.style")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Site, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield types.SimpleNamespace(folder=folder, url=f"http://127.0.0.1:{server.server_port}", export=export)
    server.shutdown()


class _Site(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        path = self.directory + "/ann.zip"
        if self.path == "/moved.zip":
            self._answer(302, {"Location": "/ann.zip"})
        elif self.path == "/to_file":
            self._answer(302, {"Location": f"file://{path}"})
        elif self.path == "/to_ftp":
            self._answer(302, {"Location": "ftp://127.0.0.1/a"})
        elif self.path == "/circle":
            self._answer(302, {"Location": "/circle"})
        elif self.path == "/short.zip":
            self._answer(200, {"Content-Length": "1000000"}, b"PK")
        elif self.path == "/endless":
            self._answer(200, {}, bytes(5_000_000))
        elif self.path == "/boast":
            self._answer(200, {"Content-Length": str(10**15)})
        else:
            super().do_GET()

    def _answer(self, code, headers, body=b""):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_the_same_bundle_comes_by_every_way(site, here, tmp_path):
    expected = sha256(site.folder / "ann.zip")
    zipped = [f"{site.url}/ann.zip", f"{site.url}/moved.zip", site.folder / "ann.zip", f"file://{site.folder}/ann.zip"]
    for number, source in enumerate([*zipped, site.folder / "ann"]):
        hashed = expected if source in zipped else sha256(site.folder / "ann" / "manifest.json")
        out = tmp_path / str(number)
        bundle = fetch(str(source), out, lambda folder: verify(folder, here, LARGEST), hashed)
        assert bundle.folder == out and bundle.kind == "avatar"
        for path in (path for path in (site.folder / "ann").rglob("*") if path.is_file()):
            assert (out / path.relative_to(site.folder / "ann")).read_bytes() == path.read_bytes()
    fetch(f"{site.url}/calm.style", tmp_path / "style", lambda folder: verify(folder, here, LARGEST))
    assert [path.name for path in (tmp_path / "style").iterdir()] == ["calm.style"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{url}/none.zip", "none.zip cannot be fetched .File not found"),
        ("{url}/to_file", "is not allowed"),
        ("{url}/to_ftp", "leads to ftp://"),
        ("{url}/circle", "cannot be fetched"),
        ("{url}/short.zip", "cannot be fetched|ended after"),
        ("{url}/endless", "larger than"),
        ("{url}/boast", "larger than"),
        ("{url}/ann/", "not a readable"),  # a page that lists a folder
        ("http://127.0.0.1:1/x.zip", "cannot be fetched"),
        ("http://[/x.zip", "http:"),
        ("ftp://127.0.0.1/x.zip", "give a path"),
        ("data://x", "give a path"),
        ("file://elsewhere/x.zip", "another machine"),
        ("{folder}/none.zip", "no such file"),
        ("hf://owner", "write hf://OWNER/NAME"),
    ],
)
def test_what_is_not_to_be_had_leaves_nothing(site, here, tmp_path, source, said):
    with pytest.raises(UserError, match=said):
        given = source.format(url=site.url, folder=site.folder)
        fetch(given, tmp_path / "out", lambda folder: verify(folder, here, LARGEST), most=4_000_000)
    assert list(tmp_path.iterdir()) == []


def test_another_hash_and_a_bundle_that_does_not_pass_leave_nothing(site, tmp_path):
    with pytest.raises(UserError, match="not what you were told"):
        fetch(f"{site.url}/ann.zip", tmp_path / "out", lambda folder: None, "0" * 64)
    with pytest.raises(UserError, match="64 hexadecimal"):
        fetch(f"{site.url}/ann.zip", tmp_path / "out", lambda folder: None, "abc")

    def check(folder):
        raise UserError("no good")

    with pytest.raises(UserError, match="no good"):
        fetch(f"{site.url}/ann.zip", tmp_path / "out", check)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="exists already"):
        fetch(f"{site.url}/ann.zip", tmp_path / "out", check)


def test_models_that_do_not_fit_are_said_in_words(site, here, tmp_path):
    other = types.SimpleNamespace(hash="f" * 64, expression_names=here.face.expression_names)
    with pytest.raises(UserError, match=r"ann: trained with another face model .1eca805001e0, here ffffffffffff"):
        verify(site.folder / "ann", Here(other, here.acoustic), LARGEST)
    with pytest.raises(UserError, match="trained with another acoustic model"):
        verify(site.folder / "calm.style", Here(here.face, other), LARGEST)


def reweighed(folder, change):
    """A bundle whose weights were changed by somebody who knows how to seal it."""
    flat, _ = exports.untrusted.read_safetensors(folder / "renderer.safetensors")
    change(flat)
    exports.safetensors.numpy.save_file(flat, folder / "renderer.safetensors")
    card = json.loads((folder / "renderer.json").read_text()) | {"sha256": sha256(folder / "renderer.safetensors")}
    (folder / "renderer.json").write_text(json.dumps(card))
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    write_manifest(folder, "avatar", listed)


def test_shapes_and_numbers_are_those_of_the_model(site, here, tmp_path):
    def wider(flat):
        name = next(name for name in flat if name.endswith("ppg1/kernel"))
        flat[name] = np.zeros((7, 7), np.float16)

    def infinite(flat):
        flat["renderer/ppg1/bias"][0] = np.inf

    def fewer(flat):
        del flat["renderer/ppg1/bias"]

    for change, said in ((wider, "ppg1/kernel is"), (infinite, "not finite"), (fewer, "ppg1/bias is none")):
        folder = tmp_path / change.__name__
        shutil.copytree(site.folder / "ann", folder)
        reweighed(folder, change)
        with pytest.raises(UserError, match=said):
            verify(folder, here, LARGEST)


def test_a_file_too_many_is_told_and_older_exports_pass(site, here, tmp_path):
    shutil.copytree(site.folder / "ann", tmp_path / "ann")
    (tmp_path / "ann" / "run.py").touch()
    with pytest.raises(UserError, match=r"'run\.py', which no bundle"):
        verify(tmp_path / "ann", here, LARGEST)
    (tmp_path / "ann" / "run.py").rename(tmp_path / "ann" / "LICENSE")
    with pytest.raises(UserError, match="LICENSE"):
        verify(tmp_path / "ann", here, LARGEST)
    for name in ("acoustic", "lipreader", "renderer", "syncnet"):  # the style models take seconds
        said = verify(resources.files("vast_jax") / "assets" / f"{name}.safetensors", here, LARGEST)
        assert said[0].startswith("no manifest.json")


def test_bad_input_is_one_line_and_exit_code_2(site, tmp_path, capsys):
    damaged = tmp_path / "bad.zip"
    content = bytearray((site.folder / "ann.zip").read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    for arguments in (
        ["verify", str(damaged)],
        ["inspect", str(damaged)],
        ["fetch", str(damaged), "--out", str(tmp_path / "o")],
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        said = capsys.readouterr().err
        assert stop.value.code == 2 and said.startswith("error: ") and said.count("\n") == 1 and "bad.zip" in said
    assert not (tmp_path / "o").exists()


class _Hub:
    """A repository as `huggingface_hub` shows it, with what every repository has besides."""

    def __init__(self, folder):
        files = [path for path in folder.rglob("*") if path.is_file()]
        self.files = {path.relative_to(folder).as_posix(): path for path in files}
        self.asked = []

    def HfApi(self):
        return self

    def model_info(self, repo_id, *, revision=None, files_metadata=False):
        self.asked.append((repo_id, revision))
        sizes = {name: path.stat().st_size for name, path in self.files.items()} | {".gitattributes": 9, "evil.py": 9}
        siblings = [types.SimpleNamespace(rfilename=name, size=size) for name, size in sizes.items()]
        return types.SimpleNamespace(sha="c0ffee", siblings=siblings)

    def hf_hub_download(self, repo_id, filename, *, revision=None, local_dir=None):
        assert revision == "c0ffee"
        (local_dir / filename).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.files[filename], local_dir / filename)


def test_from_hugging_face(site, here, tmp_path, monkeypatch):
    hub = _Hub(site.folder / "ann")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    fetch("hf://me/ann@v1", tmp_path / "a", lambda folder: verify(folder, here, LARGEST))
    assert hub.asked == [("me/ann", "v1")]
    assert sorted(p.name for p in (tmp_path / "a").rglob("*") if p.is_file()) == sorted(
        p.name for p in hub.files.values()
    )
    with pytest.raises(UserError, match="larger than"):
        fetch("hf://me/ann", tmp_path / "b", lambda folder: None, most=1000)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'vast_jax\[share\]'"):
        fetch("hf://me/ann", tmp_path / "b", lambda folder: None)


def test_hugging_face_still_takes_what_we_give_it():
    hub = pytest.importorskip("huggingface_hub")
    assert {"revision", "files_metadata"} <= set(inspect.signature(hub.HfApi.model_info).parameters)
    assert {"revision", "local_dir"} <= set(inspect.signature(hub.hf_hub_download).parameters)


@pytest.mark.slow
def test_a_stranger_makes_the_same_video_bit_for_bit(site, here, tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_: str(tmp_path / "cache"))
    speech = tmp_path / "speech.wav"
    soundfile.write(speech, 0.3 * np.sin(np.arange(2205) * 0.1), 22050)
    style = site.folder / "calm.style"
    infer(Args(speech=speech, prompt=style, avatar=site.export, out=tmp_path / "own.mp4", quiet=True))
    for name, url in (("avatar", "ann.zip"), ("style", "calm.style")):
        fetch(f"{site.url}/{url}", tmp_path / name, lambda folder: verify(folder, here, LARGEST))
    theirs = tmp_path / "style" / "calm.style"
    infer(Args(speech=speech, prompt=theirs, avatar=tmp_path / "avatar", out=tmp_path / "theirs.mp4", quiet=True))
    packed_ = site.folder / "ann.zip"
    infer(Args(speech=speech, prompt=theirs, avatar=packed_, out=tmp_path / "packed.mp4", quiet=True))
    assert (tmp_path / "own.mp4").read_bytes() == (tmp_path / "theirs.mp4").read_bytes()
    assert (tmp_path / "own.mp4").read_bytes() == (tmp_path / "packed.mp4").read_bytes()
    assert avatar_bundle.load_avatar(packed_, load_face_model(), here.acoustic).person == "s1"
