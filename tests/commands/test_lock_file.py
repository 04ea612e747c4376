import subprocess
from pathlib import Path

import pytest

from commands.lock_file import is_whole, mend
from pipeline_lib.base.errors import UserError

LOCK = b"""schema: '2.0'
stages:
  knn@a:
    cmd: python -m stages.knn
    outs:
    - path: data/a
      md5: 0123456789abcdef0123456789abcdef
"""
OLDER = LOCK.replace(b"knn", b"old")


@pytest.fixture
def repository(tmp_path):
    def git(*arguments):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "dvc.lock").write_bytes(OLDER)
    git("add", "dvc.lock")
    git("-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "first")
    (tmp_path / "dvc.lock").write_bytes(LOCK)
    git("add", "dvc.lock")
    return tmp_path


def test_the_committed_lock_file_is_whole():
    assert is_whole((Path(__file__).parents[2] / "dvc.lock").read_bytes())


@pytest.mark.parametrize("cut", [0, 9, 40])
def test_a_cut_file_comes_back_from_the_index(repository, cut):
    (repository / "dvc.lock").write_bytes(LOCK[:cut])
    assert mend(repository) == f"dvc.lock was cut short ({cut} bytes); restored from Git's index"
    assert (repository / "dvc.lock").read_bytes() == LOCK


def test_where_the_index_is_damaged_too_the_last_commit_serves(repository):
    (repository / "dvc.lock").write_bytes(b"")
    subprocess.run(["git", "add", "dvc.lock"], cwd=repository, check=True)
    assert "the last commit" in mend(repository)
    assert (repository / "dvc.lock").read_bytes() == OLDER


def test_without_a_whole_one_in_git_an_error_says_so(tmp_path):
    (tmp_path / "dvc.lock").write_bytes(b"")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    with pytest.raises(UserError, match=r"dvc.lock: cut short \(0 bytes\)"):
        mend(tmp_path)
    assert (tmp_path / "dvc.lock").read_bytes() == b""


@pytest.mark.parametrize("content", [LOCK, b"<<<<<<< ours\n" + LOCK, None])
def test_a_whole_an_absent_and_a_conflicting_file_stay_as_they_are(repository, content):
    path = repository / "dvc.lock"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert mend(repository) is None
    assert (path.read_bytes() if path.is_file() else None) == content
