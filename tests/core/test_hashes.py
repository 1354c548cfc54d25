"""MD5 of files and folders; `test_verify` compares it with DVC's own."""

import hashlib
import os
from pathlib import Path

from convdepth.core.hashes import Content, folder_md5, hash_files


def test_files_and_what_is_no_file(tmp_path: Path) -> None:
    written = {tmp_path / name: os.urandom(size) for name, size in (("a", 0), ("b", 3_000_000))}
    for path, content in written.items():
        path.write_bytes(content)
    expected = {
        path: Content(hashlib.md5(content).hexdigest(), len(content))
        for path, content in written.items()
    }
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    expected |= {tmp_path / name: Content(problem="is no file") for name in ("pipe", "", "loop")}
    expected[tmp_path / "nothing"] = Content()
    found = hash_files([*expected, *expected])
    assert found == expected
    assert [path.name for path, each in found.items() if each.is_missing] == ["nothing"]


def test_a_folder_does_not_depend_on_the_order_of_its_files() -> None:
    files = {"b/ä": "1" * 32, "a": "2" * 32}
    assert folder_md5(files) == folder_md5(dict(reversed(files.items())))
    listed = b'[{"md5": "%s", "relpath": "a"}, {"md5": "%s", "relpath": "b/\\u00e4"}]'
    expected = hashlib.md5(listed % (b"2" * 32, b"1" * 32)).hexdigest()
    assert folder_md5(files) == f"{expected}.dir"
