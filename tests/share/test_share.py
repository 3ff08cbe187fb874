import json
import shutil
import subprocess
import sys
import zipfile

import pytest
from shared_bundles import made_up_export, made_up_style, packed

from vast_jax.files import sha256
from vast_jax.share.__main__ import main
from vast_jax.share.packing import pack
from vast_jax.types import UserError
from vast_jax.weights.bundle import allowed, check_manifest
from vast_jax.weights.unpacking import looked_into, opened

FILES = [
    "README.md",
    "manifest.json",
    "renderer.json",
    "renderer.safetensors",
    "template/clip.npz",
    "template/frames.bin",
]


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return made_up_export(tmp_path_factory.mktemp("avatar") / "export")


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_and_a_file_hold_the_same(export, tmp_path):
    packed(export, tmp_path / "ann")
    packed(export, tmp_path / "ann.zip")
    assert files_of(tmp_path / "ann") == FILES
    with looked_into(tmp_path / "ann.zip") as folder:
        assert files_of(folder) == FILES
        for name in FILES:
            assert (folder / name).read_bytes() == (tmp_path / "ann" / name).read_bytes()
    listed = check_manifest(tmp_path / "ann")["files"]
    assert sorted([*listed, "manifest.json"]) == FILES
    assert all(entry["sha256"] == sha256(tmp_path / "ann" / name) for name, entry in listed.items())
    for name in ("renderer.safetensors", "template/clip.npz", "template/frames.bin"):
        assert (export / name).read_bytes() == (tmp_path / "ann" / name).read_bytes()


def test_other_programs_open_it_and_the_same_bundle_is_the_same_file(export, tmp_path):
    one, two = packed(export, tmp_path / "one" / "ann.zip"), packed(export, tmp_path / "two" / "ann.zip")
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.testzip() is None and sorted(archive.namelist()) == FILES


def test_the_model_card_says_what_a_person_wants_to_know(export, tmp_path):
    text = (packed(export, tmp_path / "ann") / "README.md").read_text()
    card = json.loads((export / "renderer.json").read_text())
    needed = ["CC0", "she agreed to it", "| author | me |", "grid/s1", card["face_model"], card["acoustic_model"]]
    needed += ["l1 | 1.5", "python infer.py", "--avatar ann ", "AI-generated", "the shipped face model"]
    for words in needed:
        assert words in text, words


def test_what_a_stranger_wrote_neither_draws_nor_steers_a_terminal(tmp_path, capsys):
    style = made_up_style(tmp_path / "a.style")
    pack(style, tmp_path / "a", "\x1b[2J | <b>`x`\nMIT", author="x" * 5000)
    text = (tmp_path / "a" / "README.md").read_text()
    assert "?[2J" not in text and "\\[2J \\| \\<b\\>\\`x\\` MIT" in text and "\x1b" not in text
    main(["inspect", str(tmp_path / "a")])
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) < 400


def test_licence_and_consent_are_asked_for(export, tmp_path):
    with pytest.raises(UserError, match="--consent that s1 agreed"):
        pack(export, tmp_path / "a")
    card = json.loads((export / "renderer.json").read_text())
    footage = tmp_path / "own"
    shutil.copytree(export, footage)
    (footage / "manifest.json").unlink()
    (footage / "renderer.json").write_text(json.dumps(card | {"licence": "that of the footage"}))
    with pytest.raises(UserError, match="--licence"):
        pack(footage, tmp_path / "a", consent="me")
    with pytest.raises(UserError, match="--licence"):
        pack(made_up_style(tmp_path / "a.style"), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    packed(footage, tmp_path / "a")
    pack(tmp_path / "a", tmp_path / "b")  # what a card says once it says on
    assert json.loads((tmp_path / "b" / "renderer.json").read_text())["consent"] == "she agreed to it"


def test_what_cannot_be_shared_is_said(export, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.pkl").touch()
    for source, said in (
        (tmp_path / "empty", "found: none"),
        (tmp_path / "x.pkl", "is neither"),
        (tmp_path / "no", "no such"),
    ):
        with pytest.raises(UserError, match=said):
            pack(source, tmp_path / "out", "CC0", "me")
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="exists already"):
        pack(export, tmp_path / "out", "CC0", "me")


ELSEWHERE = ["/x.json", "../x.json", "a/../x.json", "a\\x.json", "C:x.json", "c:\\x.json", "con.json", "t/x.bin"]
ODD = [
    "x.exe",
    "x.pkl",
    "x.py",
    "x.JSON",
    ".x.json",
    "x.json/",
    "x.json ",
    "x..json",
    "ü.json",
    "x\n.json",
    "",
    "x" * 99 + ".json",
]


@pytest.mark.parametrize("name", ELSEWHERE + ODD)
def test_names_that_lead_elsewhere_or_run_are_not_allowed(name):
    assert not allowed(name)


@pytest.mark.parametrize("trick", range(8))
def test_an_archive_of_any_other_form_is_refused(export, tmp_path, trick):
    whole = packed(export, tmp_path / "a.zip").read_bytes()
    bad = tmp_path / "bad.zip"
    if trick < 4:
        bad.write_bytes([whole + b"\0", b"\0" + whole, whole[:-1], whole + whole][trick])
    else:
        with zipfile.ZipFile(tmp_path / "a.zip") as old, zipfile.ZipFile(bad, "w") as new:
            for member in old.infolist():
                data = old.read(member)
                if trick == 4:
                    member.compress_type = zipfile.ZIP_DEFLATED
                if trick == 5:
                    member.external_attr = 0o120777 << 16  # a link
                if trick == 6 and member.filename == "README.md":
                    new.writestr("readme.md", data)
                new.writestr(member, data)
            if trick == 7:
                new.writestr("../../evil.json", b"{}")
    cache = tmp_path / "cache"
    with pytest.raises(UserError, match=r"bad\.zip"):
        opened(bad, cache)
    assert not list(cache.rglob("*")) if cache.exists() else True
    assert not list(tmp_path.rglob("evil.json"))


def test_a_packed_bundle_is_unpacked_once(export, tmp_path):
    path, cache = packed(export, tmp_path / "a.zip"), tmp_path / "cache"
    folder = opened(path, cache)
    assert files_of(folder) == FILES and folder.name == sha256(path)
    kept = (folder / "README.md").stat().st_ino
    assert opened(path, cache) == folder and (folder / "README.md").stat().st_ino == kept
    assert opened(tmp_path, cache) == tmp_path


def test_help_and_inspect_need_no_jax(export):
    code = "import sys; from vast_jax.share.__main__ import main; main(['inspect', sys.argv[1]])"
    code += "; print('jax' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", code, str(export)], capture_output=True, text=True, check=True)
    told = made.stdout.splitlines()
    assert told[-1] == "False" and len(told) < 12
    assert (
        told[0].startswith("what    avatar of s1")
        and "the shipped face model; the shipped acoustic model" in made.stdout
    )
