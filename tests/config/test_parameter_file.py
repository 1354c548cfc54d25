"""Files of parameters that are refused before they are parsed."""

import time
from pathlib import Path

import pytest
from dvc.utils.serialize import EncodingError, load_yaml

from conftest import PROJECT
from convdepth.config.parameter_file import LARGEST, require_text
from convdepth.core.errors import ParameterError
from project import Project


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_an_encoding_is_read_if_dvc_reads_it(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a: Übung\n", encoding=encoding)
    if encoding.startswith("utf-8"):
        assert load_yaml(str(path)) == {"a": "Übung"}
        assert require_text(path) == path
    else:
        with pytest.raises(EncodingError):
            load_yaml(str(path))
        with pytest.raises(ParameterError, match=rf"{path}: .*UTF-8"):
            require_text(path)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("params.yaml", "summary cnn1"),
        ("params.yaml", "check --checked=checked.txt"),
        ("studies/params.yaml", "check --checked=checked.txt"),
        ("params.yaml", "rank"),
    ],
)
def test_a_huge_file_is_refused_at_once(file: str, words: str, tmp_path: Path) -> None:
    for name in ("params.yaml", "studies/params.yaml", ".dvc/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((PROJECT / name).read_bytes())
    with (tmp_path / file).open("a") as huge:
        huge.writelines(f"x{number}: [1, 2, 3]\n" for number in range(50_000_000 // 18))
    started = time.monotonic()
    said = Project(tmp_path, tmp_path).run("convdepth", *words.split(), code=2)
    assert time.monotonic() - started < 20  # minutes if it is parsed
    size = (tmp_path / file).stat().st_size
    assert all(text in said for text in (file, f"{size:,}", f"{LARGEST:,}"))
