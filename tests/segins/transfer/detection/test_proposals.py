import torch
from torch.nn import functional
from torchvision.models.detection.image_list import ImageList

from pipeline_lib.segins.transfer.detection.proposals import GridAnchors, ProposalNetwork


def test_anchors_have_exact_sizes_and_all_ratios_of_a_size_come_first() -> None:
    anchors = GridAnchors([32, 50])
    images = ImageList(torch.zeros(2, 3, 33, 50), [(33, 50), (20, 40)])
    first, second = anchors(images, [torch.zeros(2, 1, 3, 4)])
    assert first.shape == (3 * 4 * 6, 4)
    assert torch.equal(first, second)
    width, height = first[:, 2] - first[:, 0], first[:, 3] - first[:, 1]
    sizes = torch.tensor([32.0] * 3 + [50.0] * 3).repeat(12)
    torch.testing.assert_close((width * height).sqrt(), sizes)
    torch.testing.assert_close(height / width, torch.tensor([0.5, 1, 2]).repeat(24))
    centres = (first[:, :2] + first[:, 2:]) / 2
    # Multiples of 16 by rows, also where the image's size is no multiple of it.
    torch.testing.assert_close(centres[::6][:5], torch.tensor([[0.0, 0], [16, 0], [32, 0], [48, 0], [0, 16]]))


def network(anchors: int = 8) -> ProposalNetwork:
    torch.manual_seed(0)
    return ProposalNetwork(4, [16], anchors, training_proposals=10, proposals=3)


def test_losses_are_sums_over_the_wanted_number_of_anchors() -> None:
    model = network(anchors=8)
    labels = [torch.tensor([1.0, 0, -1, 0]), torch.tensor([0.0, 0, -1, -1])]
    logits = torch.randn(8, 1)
    deltas, wanted = torch.randn(8, 4), [torch.randn(4, 4), torch.randn(4, 4)]
    found, distance = model.compute_loss(logits, deltas, labels, wanted)
    # Fewer than 8 anchors an image are left: all are sampled, and the sums are divided by 2 * 8 all the same.
    flat = torch.cat(labels)
    counted = flat >= 0
    expected = functional.binary_cross_entropy_with_logits(logits[:, 0][counted], flat[counted], reduction="sum") / 16
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(distance, (deltas[0] - wanted[0][0]).abs().sum() / 16)


def test_proposals_lie_in_the_image_and_are_not_more_than_wanted() -> None:
    model = network().eval()
    images = ImageList(torch.zeros(2, 3, 64, 64), [(64, 48), (40, 64)])
    proposals, losses = model(images, {"res4": torch.randn(2, 4, 4, 4)})
    assert losses == {}
    for own, (height, width) in zip(proposals, images.image_sizes, strict=True):
        assert 0 < len(own) <= 3
        assert (own >= 0).all()
        assert (own[:, 2] <= width).all()
        assert (own[:, 3] <= height).all()
        assert ((own[:, 2:] - own[:, :2]) > 0).all()
