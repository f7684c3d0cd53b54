"""Where a command may write."""

from __future__ import annotations

import pytest

from probseg.errors import ProbsegError
from probseg.io.out_folder import check_out


def test_new_and_empty_folders_are_taken_and_full_ones_only_if_said(tmp_path):
    check_out(tmp_path / "new", False)
    check_out(tmp_path, False)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ProbsegError, match="E_OUTPUT_EXISTS"):
        check_out(tmp_path, False)
    check_out(tmp_path, True)


def test_files_and_links_are_no_folders(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        with pytest.raises(ProbsegError, match="E_OUTPUT_EXISTS"):
            check_out(tmp_path / name, True)
