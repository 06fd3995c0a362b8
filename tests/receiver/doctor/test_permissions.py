"""What others of this machine could read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from receiver.config import load
from receiver.doctor import permissions
from receiver.doctor.finding import Judged, Verdict
from receiver.doctor.patient import Patient
from receiver.doctor.permissions import shut
from receiver.layers import gather
from tests.clocks import NOON
from tests.receiver.doctor.patients import archive, patient, verdicts
from tests.service import write_config


def test_folders_that_others_may_read(tmp_path: Path) -> None:
    """What is in an inbox opens pictures; the cure is what to type."""
    archive(tmp_path)
    assert verdicts(permissions.folders(patient(tmp_path))) == [Verdict.OK]
    (tmp_path / "accounts.key").write_bytes(b"k")
    (tmp_path / "accounts.key").chmod(0o640)
    (tmp_path / "inbox").chmod(0o750)
    [judged] = permissions.folders(patient(tmp_path))
    assert judged.verdict is Verdict.FAIL
    assert os.system(judged.cure) == 0
    assert verdicts(permissions.folders(patient(tmp_path))) == [Verdict.OK]


@pytest.mark.parametrize(
    ("mode", "owner", "chmod"),
    [
        (0o600, 1000, ""),
        (0o640, 1000, "go="),
        (0o604, 1000, "go="),
        (0o640, 0, ""),
        (0o644, 0, "o="),
        (0o400, 0, ""),
    ],
)
def test_a_file_of_roots_is_its_groups_to_read(mode: int, owner: int, chmod: str) -> None:
    """As packages and Kubernetes lay them; one of its reader's own is nobody else's."""
    assert shut(mode, owner) == chmod


def found(file: Path, environ: dict[str, str] | None = None) -> list[Judged]:
    """What is said of the files of a configuration."""
    said = gather(file, environ=environ or {})
    config = load(file, environ=environ or {})
    known = Patient(config=config, now=lambda: NOON, said=said, config_file=str(file))
    return list(permissions.files(known))


def test_files_of_secrets_that_others_may_read(tmp_path: Path) -> None:
    """The configuration with a secret in it, a file that it names, a bucket; each cure cures it."""
    secret, bucket = tmp_path / "the secret", tmp_path / "bucket"
    secret.write_text("hush")
    bucket.mkdir()
    file = write_config(tmp_path)
    file.write_text(f'{file.read_text()}\n[providers.modelslab]\nkeys_file.a = "{secret}"\n')
    for path, mode in ((file, 0o644), (secret, 0o644), (bucket, 0o755)):
        path.chmod(mode)
    for left in (3, 2, 1):
        judged = found(file)
        assert verdicts(judged) == [Verdict.WARN] * left
        assert os.system(judged[0].cure) == 0
    assert verdicts(found(file)) == [Verdict.OK]


def test_a_configuration_without_secrets_may_be_read(tmp_path: Path) -> None:
    """Where they stand in the environment, or in files that are nobody else's."""
    file = tmp_path / "holdfast.toml"
    file.write_text(f'bucket.url = "{(tmp_path / "bucket").as_uri()}"\n')
    file.chmod(0o644)
    environ = {"HOLDFAST_PROVIDERS__DOITONG__SECRETS__TEST": "a long webhook secret"}
    assert verdicts(found(file, environ)) == [Verdict.OK]
    file.write_text(f'{file.read_text()}providers.doitong.secrets.own = "hush"\n')
    assert verdicts(found(file, environ)) == [Verdict.WARN]
