import itertools

import numpy as np
import torch

from pipeline_lib.ucls.heads.alignment import (
    aligned_clusters,
    alignment_loss,
    matching_order,
    meetings,
    renumber_classes,
)
from pipeline_lib.ucls.heads.model import HeadShape, MultiHeadClassifier


def log_probabilities(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double().log_softmax(dim=-1)


def test_loss_equals_plain_loops():
    student, teacher = log_probabilities(3, 5, 4), log_probabilities(3, 5, 4, seed=1)
    expected = np.zeros(3)
    for head, image in itertools.product(range(3), range(5)):
        mean = teacher.exp()[:, image].mean(dim=0)
        expected[head] += -sum(float(mean[c] * student[head, image, c]) for c in range(4)) / 5
    np.testing.assert_allclose(alignment_loss(student, teacher), expected, atol=1e-12)


def test_loss_is_lowest_where_the_student_says_what_all_teachers_say_together():
    teacher = log_probabilities(4, 30, 5)
    mean = teacher.exp().mean(dim=0).log().expand(4, -1, -1)
    assert (alignment_loss(mean, teacher) < alignment_loss(log_probabilities(4, 30, 5, seed=2), teacher)).all()
    assert (alignment_loss(mean, teacher) < alignment_loss(teacher, teacher)).all()


def test_meetings_are_counted_in_float32_where_products_are_in_bfloat16():
    log_teacher = log_probabilities(3, 700, 6)
    probability = log_teacher.exp().numpy()
    with torch.autocast("cpu", torch.bfloat16):
        met = sum(meetings(batch) for batch in log_teacher.float().split(50, dim=1))
    assert met.dtype == torch.float32
    np.testing.assert_allclose(met, np.einsum("hbk,bc->hkc", probability, probability[0]), rtol=1e-5)


def test_renumbered_heads_are_put_back_in_order():
    first = log_probabilities(1, 200, 6)[0] * 4
    first = first.log_softmax(dim=-1)
    permutations = torch.stack([torch.randperm(6, generator=torch.Generator().manual_seed(s)) for s in range(4)])
    permutations[0] = torch.arange(6)
    heads = torch.stack([first[:, permutation] for permutation in permutations])
    order = matching_order(meetings(heads))
    assert torch.equal(order[0], torch.arange(6))
    for head, own in zip(heads, order, strict=True):
        torch.testing.assert_close(head[:, own], first)


def test_clusters_keep_their_groups_and_take_the_numbers_of_the_first_head():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 5, 300)
    noisy = np.where(rng.random(300) < 0.1, rng.integers(0, 5, 300), first)
    heads = np.stack([first, (first + 2) % 5, rng.permutation(5)[noisy]])
    found = aligned_clusters(heads, 5)
    np.testing.assert_array_equal(found[0], first)
    np.testing.assert_array_equal(found[1], first)
    assert (found[2] == noisy).all()


def test_renumbering_changes_the_numbers_of_the_outputs_and_moves_the_optimiser_along():
    classifier = MultiHeadClassifier(HeadShape(6, 4, 2, 8, 5, input="none"), torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=0.1)
    features = torch.randn(7, 6, generator=torch.Generator().manual_seed(1))
    classifier(features).square().sum().backward()
    optimizer.step()
    before = classifier(features).detach()
    moment = optimizer.state[classifier.prototypes]["exp_avg"].clone()
    order = torch.tensor([[2, 0, 3, 1], [0, 1, 3, 2]])
    renumber_classes(classifier, order, optimizer)
    after = classifier(features).detach()
    for head in range(2):
        torch.testing.assert_close(after[head], before[head][:, order[head]])
        torch.testing.assert_close(optimizer.state[classifier.prototypes]["exp_avg"][head], moment[head][order[head]])
