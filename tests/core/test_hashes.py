"""MD5 of files and folders; `test_verification` compares it with DVC's own."""

import hashlib
import os
from pathlib import Path

from convdepth.core.hashes import Content, folder_md5, hash_files


def test_files(tmp_path: Path) -> None:
    content = {tmp_path / name: os.urandom(size) for name, size in (("a", 0), ("b", 3_000_000))}
    for path, written in content.items():
        path.write_bytes(written)
    found = hash_files([*content, *content])
    assert found == {
        path: Content(hashlib.md5(written).hexdigest(), len(written))
        for path, written in content.items()
    }


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    names = ("nothing", "pipe", ".", "loop")
    found = [hash_files([tmp_path / name])[tmp_path / name] for name in names]
    assert found == [Content(), *[Content(problem="is no file")] * 3]
    assert [each.is_missing for each in found] == [True, False, False, False]


def test_a_folder_does_not_depend_on_the_order_of_its_files() -> None:
    files = {"b/ä": "1" * 32, "a": "2" * 32}
    assert folder_md5(files) == folder_md5(dict(reversed(files.items())))
    listed = b'[{"md5": "%s", "relpath": "a"}, {"md5": "%s", "relpath": "b/\\u00e4"}]'
    expected = hashlib.md5(listed % (b"2" * 32, b"1" * 32)).hexdigest()
    assert folder_md5(files) == f"{expected}.dir"
