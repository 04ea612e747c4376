import pytest

from pipeline_lib.base import row_blocks as module
from pipeline_lib.base.row_blocks import bounded_row_blocks, row_blocks


@pytest.mark.parametrize(("count", "rows", "lengths"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 3, [2]), (0, 3, [])])
def test_blocks_follow_each_other_and_end_with_the_rows(count, rows, lengths):
    blocks = list(row_blocks(count, rows))
    assert [one.stop - one.start for one in blocks] == lengths
    assert [i for one in blocks for i in range(one.start, one.stop)] == list(range(count))


@pytest.mark.parametrize(("width", "longest"), [(10, 3), (0, 17), (31, 1)])
def test_bounded_blocks_cover_all_rows_once(monkeypatch, width, longest):
    monkeypatch.setattr(module, "_BLOCK_ELEMENTS", 30)
    blocks = list(bounded_row_blocks(17, width))
    assert [i for one in blocks for i in range(one.start, one.stop)] == list(range(17))
    assert max(one.stop - one.start for one in blocks) == longest
