"""Fingerprints: digests of files, and the differences of two fingerprints."""

from pathlib import Path

from convdepth.training.fingerprint import differences, digest_files


def test_the_digest_tells_names_and_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("x")
    second.write_text("y")
    digest = digest_files([first, second])
    assert digest == digest_files([first, second])
    first.write_text("z")
    assert digest_files([first, second]) != digest
    first.write_text("x")
    assert digest_files([second, first]) != digest


def test_differences_name_the_values() -> None:
    there = {"code": "a", "data": "d", "parameters": {"train": {"seed": 1, "epochs": 2}, "x": 1}}
    here = {"code": "b", "data": "d", "parameters": {"train": {"seed": 3, "epochs": 2}}}
    assert list(differences(there, there)) == []
    assert list(differences(there, here)) == [
        "code",
        "parameters (train.seed: 1 there, 3 here, x: 1 there, null here)",
    ]
