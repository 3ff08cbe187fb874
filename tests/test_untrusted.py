import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from vast_jax import untrusted
from vast_jax.types import UserError


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "{",
        '{"a": 1, "a": 2}',
        "[" * 100_000,
        '{"a":' * 5000 + "1" + "}" * 5000,
        '{"a": "\\ud800"}',
        "9" * 9999,
    ],
)
def test_what_is_no_card_is_said_so(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json is not a card"):
        untrusted.read_json(tmp_path / "a.json")


def test_bytes_that_are_no_text_and_too_many_are_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(UserError, match="not a card"):
        untrusted.read_json(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b" " * (untrusted.LARGEST_TEXT + 1))
    with pytest.raises(UserError, match="too large"):
        untrusted.read_json(tmp_path / "b.json")
    with pytest.raises(UserError, match="no such file"):
        untrusted.read_json(tmp_path)


def test_figures_that_are_no_number_become_none(tmp_path):
    (tmp_path / "a.json").write_text('{"a": NaN, "b": 1e999, "c": -Infinity, "d": 1.5}')
    assert untrusted.read_json(tmp_path / "a.json") == {"a": None, "b": None, "c": None, "d": 1.5}


def test_safetensors_come_back_and_their_layout_needs_no_array(tmp_path):
    arrays = {
        "a/b": np.arange(6, dtype=np.float16).reshape(2, 3),
        "c": np.array([True, False]),
        "d": np.array(7, np.int32),
    }
    save_file(arrays, tmp_path / "a.safetensors", metadata={"k": "v"})
    layout, notes = untrusted.safetensors_layout(tmp_path / "a.safetensors")
    assert layout["a/b"] == (np.float16, (2, 3)) and layout["d"].shape == () and notes == {"k": "v"}
    read, _ = untrusted.read_safetensors(tmp_path / "a.safetensors")
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype


def entry(shape, end, begin=0, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry([10**9, 10**9], 8)},
        {"a": entry([-2], 8)},
        {"a": entry([2], 8, dtype="O")},
        {"a": entry([2.0], 8)},
        {"a": entry([True, 2], 8)},
        {"a": entry([1], 4)},  # leaves half of the file
        {"a": entry([2], 8), "b": entry([1], 8, 4)},  # overlap
        {"../a": entry([2], 8)},
        {"a": entry([2], 8), "__metadata__": {"k": 1}},
        {"a": entry([1] * 40 + [2], 8)},
        {"a": [1]},
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, header):
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(UserError, match="not a readable safetensors file"):
        untrusted.safetensors_layout(tmp_path / "a.safetensors")


@pytest.mark.parametrize("length", [0, 9, 2**31, 2**63, 2**64 - 1])
def test_a_length_that_lies_is_refused(tmp_path, length):
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", length) + b"{}      ")
    with pytest.raises(UserError, match="not a readable safetensors file"):
        untrusted.read_safetensors(tmp_path / "a.safetensors")


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    save_file({"a": np.array([1, np.nan], np.float16)}, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", a=np.array([np.inf]))
    for read, name in ((untrusted.read_safetensors, "a.safetensors"), (untrusted.read_npz, "a.npz")):
        with pytest.raises(UserError, match=f"{name}: a holds numbers that are not finite"):
            read(tmp_path / name)


def test_npz_of_plain_arrays_come_back(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "f": np.asfortranarray(np.arange(6).reshape(2, 3)), "t": np.array("é")}
    arrays |= {"s": np.float64(2), "b": np.array([True]), "none": np.zeros((0, 3), np.float32), "": np.array("")}
    np.savez(tmp_path / "a.npz", **{name or "empty": array for name, array in arrays.items()})
    read = untrusted.read_npz(tmp_path / "a.npz")
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name or "empty"], array)
    layout = untrusted.npz_layout(tmp_path / "a.npz")
    assert layout["f"].shape == (2, 3) and {name: array.shape for name, array in read.items()} == {
        name: of.shape for name, of in layout.items()
    }


def npy(shape="(2,)", descr="<f4", data=bytes(8)):
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + data


@pytest.mark.parametrize(
    "member",
    [
        npy("(999999999999,)"),
        npy("(-2,)"),
        npy("(1000000, 1000000, 1000000)"),
        npy("(" * 100),
        npy("(__import__('os').getpid(),)"),
        npy(descr="|O"),
        npy("()", "<U1", b"\xff\xff\xff\x7f"),  # beyond Unicode
        npy("()", "<U1", b"\x00\xd8\x00\x00"),  # half of a surrogate pair
        npy(descr="<f16", data=bytes(32)),
        npy(descr="<U0", data=b""),
        npy("(1, 1, 1, 1, 1, 1, 1, 1, 2)"),
        npy()[:-1],
        npy() + b"x",
        pickle.dumps([1]),
        b"",
    ],
)
def test_a_member_that_is_no_plain_array_is_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", member)
    with pytest.raises(UserError, match="not a file of plain arrays"):
        untrusted.read_npz(tmp_path / "a.npz")


def test_an_npz_is_not_compressed_and_has_no_pickles_or_paths(tmp_path):
    np.savez_compressed(tmp_path / "small.npz", a=np.zeros(10**6))
    np.savez(tmp_path / "object.npz", a=np.array([{}], object))
    with zipfile.ZipFile(tmp_path / "path.npz", "w") as file:
        file.writestr("../a.npy", npy())
    (tmp_path / "none.npz").write_bytes(b"PK")
    for name in ("small", "object", "path", "none"):
        with pytest.raises(UserError, match=f"{name}.npz is not a file of plain arrays"):
            untrusted.read_npz(tmp_path / f"{name}.npz")
