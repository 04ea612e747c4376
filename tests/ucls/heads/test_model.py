import torch
from torch import nn

from pipeline_lib.ucls.heads.model import HeadShape, MultiHeadClassifier, follow

SHAPE = HeadShape(features=7, classes=4, heads=3, hidden=6, bottleneck=5)


def one_head(classifier: MultiHeadClassifier, head: int) -> nn.Module:
    first = nn.Linear(7, 6)
    second = nn.Linear(6, 5)
    last = nn.utils.parametrizations.weight_norm(nn.Linear(5, 4, bias=False))
    with torch.no_grad():
        first.weight.copy_(classifier.hidden_weight[head])
        first.bias.copy_(classifier.hidden_bias[head])
        second.weight.copy_(classifier.bottleneck_weight[head])
        second.bias.copy_(classifier.bottleneck_bias[head])
        last.parametrizations.weight.original0.copy_(classifier.prototype_length[head][:, None])
        last.parametrizations.weight.original1.copy_(classifier.prototypes[head])

    class Head(nn.Module):
        def forward(self, x):
            return last(nn.functional.normalize(second(nn.functional.gelu(first(x))), dim=-1))

    return Head()


def test_batched_heads_equal_separate_torch_modules():
    classifier = MultiHeadClassifier(SHAPE, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    x = torch.randn(20, 7, generator=torch.Generator().manual_seed(2)) * 3 + 1
    reference_norm = nn.BatchNorm1d(7)
    with torch.no_grad():
        reference_norm.weight.copy_(classifier.normalisation.weight)
        reference_norm.bias.copy_(classifier.normalisation.bias)
    for _ in range(2):
        logits = classifier(x)
        normalised = reference_norm(x)
        for head in range(3):
            torch.testing.assert_close(logits[head], one_head(classifier, head)(normalised), atol=1e-5, rtol=1e-5)
    classifier.eval()
    reference_norm.eval()
    torch.testing.assert_close(classifier.normalisation(x), reference_norm(x), atol=1e-6, rtol=1e-5)


def test_initial_logits_are_cosines_and_directions_those_of_a_linear_layer():
    classifier = MultiHeadClassifier(HeadShape(7, 400, 2, 6, 256), torch.Generator().manual_seed(0))
    assert (classifier.prototype_length == 1).all()
    # Uniform in +-1/16 over 256 columns: a norm of about sqrt(1/3).
    torch.testing.assert_close(classifier.prototypes.norm(dim=-1).mean().item(), (1 / 3) ** 0.5, atol=0.01, rtol=0)


def test_weight_decay_is_for_matrices_and_lengths():
    classifier = MultiHeadClassifier(SHAPE)
    decayed = {id(p) for p in classifier.decayed_parameters()}
    undecayed = {id(p) for p in classifier.undecayed_parameters()}
    assert not decayed & undecayed
    assert decayed | undecayed == {id(p) for p in classifier.parameters()}
    assert decayed == {id(p) for n, p in classifier.named_parameters() if n.endswith("weight") and p.dim() > 1} | {
        id(classifier.prototypes),
        id(classifier.prototype_length),
    }


def test_teacher_follows_parameters_slowly_and_buffers_at_once():
    student = MultiHeadClassifier(SHAPE, torch.Generator().manual_seed(0))
    teacher = student.teacher()
    before = teacher.hidden_weight.clone()
    with torch.no_grad():
        student.hidden_weight.add_(1.0)
        student.normalisation.running_mean.fill_(5.0)
    follow(teacher, student, 0.9)
    torch.testing.assert_close(teacher.hidden_weight, before + 0.1)
    assert (teacher.normalisation.running_mean == 5).all()
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not teacher.training
