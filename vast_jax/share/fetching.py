"""Fetching: a bundle from a path, a URL or a Hugging Face repository to a folder, verified before it has its name."""

import http.client
import re
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from vast_jax.errors import UserError
from vast_jax.files import atomic_path, check_writable, room_for, sha256
from vast_jax.untrusted import size_of
from vast_jax.weights import archive
from vast_jax.weights.bundle import LARGEST, MANIFEST, Bundle, allowed, check_names, copy_files, find
from vast_jax.weights.unpacking import named, unpack_checked

TIMEOUT = 30  # seconds without a byte
_PIECE = 1 << 20  # bytes
_HUB = re.compile(r"hf://([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?")


def fetch(
    source: str, out: Path, check: Callable[[Path], object], expected: str | None = None, most: int = LARGEST
) -> Bundle:
    """Brings a bundle to a folder of its own.

    Args:
      source: a path, a file:, http: or https: URL of one file, or hf://OWNER/NAME[@REVISION].
      out: a new folder; it appears whole and checked, or not at all.
      check: of the folder, raises UserError.
      expected: SHA-256 of the one file, or of the manifest.json of several.
      most: bytes of all that is fetched.

    Returns:
      The bundle in `out`.

    Raises:
      UserError: not to be had, larger than `most`, another hash, unsafe, damaged or not fitting; no room for it.
    """
    if out.exists():
        raise UserError(f"{out}: exists already; choose another name")
    if expected is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", expected):
        raise UserError(f"--sha256 {expected}: a SHA-256 has 64 hexadecimal digits")
    with room_for(out), tempfile.TemporaryDirectory(prefix=".fetch.", dir=_parent(out)) as scratch:
        got = _bring(source, Path(scratch) / "got", most)
        _expect(got, expected, source)
        with atomic_path(out) as part, named(source, part, got):
            _settle(got, part, source, most)
            check(part)
    return find(out)


def _parent(out: Path) -> Path:
    check_writable(out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent


def _expect(got: Path, expected: str | None, source: str) -> None:
    hashed = got if got.is_file() else got / MANIFEST
    if expected is None:
        return
    if not hashed.is_file():
        raise UserError(f"{source}: no {MANIFEST} to compare --sha256 with")
    found = sha256(hashed)
    if found != expected.lower():
        raise UserError(f"{source}: its sha256 is {found}, not {expected.lower()}: not what you were told it is")


def _settle(got: Path, part: Path, source: str, most: int) -> None:
    """What was fetched as a folder."""
    if got.is_dir():
        shutil.copytree(got, part)
        return
    with open(got, "rb") as file:
        zipped = file.read(2) == b"PK"
    if zipped:
        unpack_checked(got, part, most)
        return
    name = Path(source.partition("?")[0] if "://" in source else source).name
    part.mkdir()
    shutil.copyfile(got, part / (name if allowed(name) and name.endswith(".style") else "prompt.style"))


def _bring(source: str, got: Path, most: int) -> Path:
    scheme = source.partition("://")[0].lower() if "://" in source else ""
    if scheme == "hf":
        return _from_hub(source, got, most)
    if scheme in ("http", "https"):
        return _from_web(source, got, most)
    if scheme == "file":
        host, slash, path = source[len("file://") :].partition("/")
        if host not in ("", "localhost"):
            raise UserError(f"{source}: a file of another machine; write file:///PATH")
        return _from_path(Path(urllib.request.url2pathname(slash + path)), got, most)
    if scheme:
        raise UserError(f"{source}: give a path, an https:, http: or file: URL, or hf://OWNER/NAME")
    return _from_path(Path(source), got, most)


def _from_path(path: Path, got: Path, most: int) -> Path:
    if path.is_file() and path.suffix != ".safetensors":
        size_of(path, most)
        shutil.copyfile(path, got)
        return got
    bundle = find(path)
    names = [*bundle.files, *([MANIFEST] if (bundle.folder / MANIFEST).is_file() else [])]
    if sum(size_of(bundle.folder / name, most) for name in names) > most:
        raise UserError(f"{path} is larger than {most} bytes (--largest)")
    copy_files(names, bundle.folder, got)
    return got


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to the web only, and never from https to http."""

    def redirect_request(self, request, file, code, message, headers, url):
        was, will = (urllib.parse.urlsplit(u).scheme.lower() for u in (request.full_url, url))
        if will not in ("http", "https") or (was == "https" and will == "http"):
            raise UserError(f"{request.full_url} leads to {url[:200]}, which is not followed")
        return super().redirect_request(request, file, code, message, headers, url)


def _from_web(url: str, got: Path, most: int) -> Path:
    # No handler of files, FTP or data, which `build_opener` would bring along.
    opener = urllib.request.OpenerDirector()
    handlers = (urllib.request.HTTPHandler, urllib.request.HTTPSHandler, urllib.request.HTTPDefaultErrorHandler)
    for handler in (*handlers, urllib.request.HTTPErrorProcessor, urllib.request.ProxyHandler, _WebOnly):
        opener.add_handler(handler())
    try:
        with opener.open(urllib.request.Request(url, headers={"User-Agent": "vast_jax"}), timeout=TIMEOUT) as answer:
            stated = answer.headers.get("Content-Length", "")
            if stated.isdecimal() and int(stated) > most:
                raise UserError(f"{url} is larger than {most} bytes (--largest)")
            size = _save(answer, got, most, url)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        raise UserError(f"{url} cannot be fetched ({getattr(error, 'reason', None) or error})") from None
    if stated.isdecimal() and int(stated) != size:
        raise UserError(f"{url} ended after {size} of {stated} bytes: fetch it again")
    return got


def _save(answer: IO[bytes], got: Path, most: int, url: str) -> int:
    size = 0
    with open(got, "xb") as file:
        while piece := answer.read(_PIECE):
            size += file.write(piece)
            if size > most:
                raise UserError(f"{url} is larger than {most} bytes (--largest)")
    return size


def _from_hub(source: str, got: Path, most: int) -> Path:
    match = _HUB.fullmatch(source)
    if match is None:
        raise UserError(f"{source}: write hf://OWNER/NAME or hf://OWNER/NAME@REVISION")
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(f"{source}: needs huggingface_hub: pip install 'vast_jax[share]'") from None
    name, revision = match.groups()
    try:
        told = huggingface_hub.HfApi().model_info(name, revision=revision, files_metadata=True)
        files = {file.rfilename: file.size or 0 for file in told.siblings or ()}
        packed = [file for file in files if file.endswith(archive.SUFFIX) and "/" not in file]
        wanted = packed if len(packed) == 1 else [file for file in files if allowed(file)]
        if not packed:
            check_names(wanted, source)
        if len(packed) > 1 or not wanted:
            raise UserError(f"{source}: holds no bundle of vast_jax, or several")
        if sum(files[file] for file in wanted) > most:
            raise UserError(f"{source} is larger than {most} bytes (--largest)")
        for file in wanted:
            huggingface_hub.hf_hub_download(name, file, revision=told.sha, local_dir=got)
    except UserError:
        raise
    except Exception as error:  # its own, and those of what it sends its requests with, which changed over time
        raise UserError(f"{source} cannot be fetched ({' '.join(str(error).split())[:200]})") from None
    shutil.rmtree(got / ".cache", ignore_errors=True)
    return got / packed[0] if packed else got
