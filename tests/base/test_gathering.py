import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from pipeline_lib.base.gathering import from_first, gathered_objects, gathered_rows, gathered_shares, spread

COUNTS = (3, 0, 2)


def test_one_process_has_all_there_is():
    rows = torch.arange(6).view(3, 2)
    assert gathered_rows(rows) is rows
    assert gathered_shares(rows) is rows
    assert gathered_objects({"a": 1}) == [{"a": 1}]
    assert from_first("mine") == "mine"
    assert list(spread(lambda item: -item, range(4))) == [0, -1, -2, -3]


def gather(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=len(COUNTS))
    rows = torch.full((COUNTS[rank], 2), float(rank))
    found = {
        "rows": gathered_rows(rows),
        "shares": gathered_shares(torch.full((2, 1), rank)),
        "objects": gathered_objects([rank] * COUNTS[rank]),
        "spread": list(spread(lambda item: (item, dist.get_rank()), range(5))),
        "first": from_first({"state": torch.ones(2)} if rank == 0 else None),
    }
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_rows_and_objects_come_in_the_order_of_the_processes(tmp_path):
    multiprocessing.spawn(gather, (29631, str(tmp_path)), nprocs=len(COUNTS))
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(len(COUNTS))]
    for each in found:
        assert each["rows"].tolist() == [[0, 0]] * 3 + [[2, 2]] * 2
        assert each["shares"].tolist() == [[0], [0], [1], [1], [2], [2]]
        assert each["first"]["state"].tolist() == [1, 1]
    assert [each["objects"] for each in found] == [[[0, 0, 0], [], [2, 2]], [], []]
    assert [each["spread"] for each in found] == [[(0, 0), (1, 1), (2, 2), (3, 0), (4, 1)], [], []]
