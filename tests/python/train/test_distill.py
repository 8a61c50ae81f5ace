"""Distillation: the formulas, students that come to agree with their teachers, and torch modules."""

from __future__ import annotations

import numpy as np
import pytest
import tasks
import torch

import whit
from whit.importers.onnx import import_onnx
from whit.optimize import optimize
from whit.train import Pruning, WeightQuantization, distill, fine_tune, predict
from whit.train.checkpoint import graph_digest
from whit.train.losses import soft_labels


@pytest.fixture(scope="module")
def teacher() -> whit.ir.Graph:
    x, y = tasks.points()
    return fine_tune(tasks.mlp(64), x, y, epochs=20, batch_size=32, learning_rate=1e-2).graph


def agreement(one, other, seed: int = 5) -> float:
    x, _ = tasks.points(seed=seed)
    return float((predict(one, x).argmax(axis=1) == predict(other, x).argmax(axis=1)).mean())


def test_soft_labels_are_hintons() -> None:
    """T^2 sum p log(p / q) of the softened probabilities, the mean over samples."""
    random = np.random.default_rng(0)
    student, teacher = random.standard_normal((2, 6, 5)) * 3
    for t in (1.0, 4.0):
        p, q = (np.exp(z / t) / np.exp(z / t).sum(axis=1, keepdims=True) for z in (teacher, student))
        wanted = t * t * (p * np.log(p / q)).sum() / 6
        got = soft_labels(torch.from_numpy(student), torch.from_numpy(teacher), t)
        assert float(got) == pytest.approx(wanted, rel=1e-9)


def test_the_gradient_of_soft_labels_is_hintons() -> None:
    """Equation 2: (q - p) / T, times T^2 for the scale."""
    student = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(3, 5, dtype=torch.float64)
    soft_labels(student, teacher, 3.0).backward()
    wanted = 3.0 * (torch.softmax(student / 3, 1) - torch.softmax(teacher / 3, 1)) / 3
    torch.testing.assert_close(student.grad, wanted.detach())


def test_a_smaller_student_comes_to_agree_without_labels(teacher) -> None:
    """On samples that training did not see."""
    x, _ = tasks.points(seed=2)
    student = tasks.mlp(12, seed=7)
    result = distill(teacher, student, x, epochs=20, batch_size=32, learning_rate=1e-2)
    assert agreement(teacher, student) < 0.5
    assert agreement(teacher, result.graph) > 0.9


def test_a_pruned_and_rounded_model_is_its_own_student(teacher) -> None:
    x, _ = tasks.points(seed=2)
    techniques = [Pruning(sparsity=0.8, end=0.5), WeightQuantization(bits=3, begin=0.5)]
    cut = distill(teacher, None, x, techniques=techniques, epochs=1, learning_rate=1e-9)
    taught = distill(teacher, None, x, techniques=techniques, epochs=20, batch_size=32, learning_rate=5e-3)
    assert cut.sparsity.keys() == taught.sparsity.keys()
    assert min(taught.sparsity.values()) >= 0.79
    assert agreement(teacher, taught.graph) > agreement(teacher, cut.graph) + 0.1
    assert agreement(teacher, taught.graph) > 0.85


def test_features_are_learned_through_a_regressor(teacher) -> None:
    """The student's 12 hidden channels against the teacher's 64."""
    x, _ = tasks.points(seed=2)
    options = {"epochs": 10, "batch_size": 32, "learning_rate": 1e-2}
    pair = [(teacher.nodes[0].outputs[0], "gemm0:0")]
    result = distill(teacher, tasks.mlp(12, seed=7), x, features=pair, feature_weight=5.0, **options)
    without = distill(teacher, tasks.mlp(12, seed=7), x, **options)
    assert agreement(teacher, result.graph) > 0.8

    def explained(graph) -> float:
        """How much of the teacher's features a linear map of the student's gives."""
        ours = np.c_[predict(graph, x, output="gemm0:0"), np.ones(len(x))]
        theirs = predict(teacher, x, output=pair[0][0])
        rest = theirs - ours @ np.linalg.lstsq(ours, theirs, rcond=None)[0]
        return 1 - float(np.square(rest).sum() / np.square(theirs).sum())

    assert explained(result.graph) > explained(without.graph)
    assert result.losses[-1] < result.losses[0]


def test_labels_help_where_there_are_some(teacher) -> None:
    x, y = tasks.points(64, seed=2)
    wrong = (y + 1) % tasks.CLASSES  # labels that contradict the teacher show in the result
    options = {"epochs": 30, "batch_size": 16, "learning_rate": 1e-2}
    result = distill(teacher, tasks.mlp(16), x, labels=wrong, label_weight=1.0, **options)
    assert (predict(result.graph, x).argmax(axis=1) == wrong).mean() > 0.9


def test_augmented_batches_go_to_both(teacher) -> None:
    """The teacher answers what the student is asked: with labels of other samples nothing could be learned."""
    x, _ = tasks.points(64, seed=2)

    def shuffle(batch, generator):
        return torch.randn(batch.shape, generator=generator)

    result = distill(teacher, tasks.mlp(16, seed=3), x, augment=shuffle, epochs=200, batch_size=64, learning_rate=1e-2)
    assert agreement(teacher, result.graph) > 0.8


def test_other_outputs_than_classes_are_compared_by_squares(teacher) -> None:
    x, _ = tasks.points(64)
    student = tasks.mlp(8, seed=1)
    difference = predict(teacher, x) - predict(student, x)
    result = distill(teacher, student, x, loss="mse", epochs=1, batch_size=64)
    assert result.losses[0] == pytest.approx(float(np.square(difference).mean()), rel=1e-4)


def network() -> torch.nn.Module:
    nn = torch.nn
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 4)
    )


def test_a_torch_module_becomes_a_graph() -> None:
    module = network()
    module[1].running_mean.uniform_(-1, 1)
    module[1].running_var.uniform_(0.5, 2)
    module[1].eval()
    module[0].train()
    graph = whit.from_torch(module, torch.zeros(1, 1, 8, 8))
    assert module[0].training  # as it was
    assert graph.inputs == ["input"]
    assert graph.outputs == ["output"]
    assert isinstance(graph.tensors["input"].shape[0], str)  # any number of samples
    assert "conv" in {node.op for node in graph.nodes}
    x = np.random.default_rng(0).standard_normal((5, 1, 8, 8)).astype(np.float32)
    with torch.no_grad():
        wanted = module.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(predict(graph, x), wanted, rtol=1e-4, atol=1e-5)
    report = whit.compress(graph, None, "f32")
    with whit.load(report.file) as model:
        np.testing.assert_allclose(model(x), wanted, rtol=1e-4, atol=1e-5)


def test_exporting_is_silent(capfd, caplog) -> None:
    whit.from_torch(torch.nn.Linear(3, 2), np.zeros((1, 3), np.float32))
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []  # torch traces, unseen


def test_torch_modules_teach_and_learn() -> None:
    x, y = tasks.pictures()
    x = x.transpose(0, 3, 1, 2).copy()
    teacher = fine_tune(network(), x, y, epochs=8, batch_size=32, learning_rate=1e-2)
    assert teacher.losses[-1] < 0.3 * teacher.losses[0]
    student = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))
    result = distill(teacher.graph, student, x, epochs=30, batch_size=32, learning_rate=1e-2)
    same = predict(result.graph, x).argmax(axis=1) == predict(teacher.graph, x).argmax(axis=1)
    assert same.mean() > 0.8


def test_modules_that_cannot_be_exported() -> None:
    class Odd(torch.nn.Module):
        def forward(self, x):
            return x * 2 if float(x.sum()) > 0 else x

    with pytest.raises(whit.InvalidArgumentError, match="torch cannot export Odd: "):
        whit.from_torch(Odd(), torch.ones(2, 3))
    with pytest.raises(whit.InvalidArgumentError, match="does not run on the example"):
        whit.from_torch(torch.nn.Linear(3, 2), torch.zeros(1, 4))
    with pytest.raises(whit.InvalidArgumentError, match=r"wanted a torch\.nn\.Module; got int"):
        whit.from_torch(3, torch.zeros(1, 4))
    with pytest.raises(whit.InvalidArgumentError, match="needs an axis of samples"):
        whit.from_torch(torch.nn.Linear(3, 2), torch.zeros(()))


def test_pairs_that_do_not_fit(teacher) -> None:
    x, _ = tasks.points(16)
    student = tasks.mlp(8)
    for options, message in (
        ({"features": [("nothing", "gemm0:0")]}, "the teacher computes no tensor 'nothing'"),
        ({"features": [(teacher.outputs[0], "nothing")]}, "the student computes no tensor 'nothing'"),
        ({"features": ["ab1"]}, "pairs are"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"label_weight": 2}, "label_weight must be in 0..1"),
        ({"loss": "hinge"}, "loss must be auto"),
    ):
        with pytest.raises(whit.InvalidArgumentError, match=message):
            distill(teacher, student, x, epochs=1, **options)
    with pytest.raises(whit.ShapeError, match="both must give the same outputs"):
        distill(teacher, student, x, epochs=1, outputs=[(teacher.outputs[0], "gemm0:0")])


def test_resnet20_teaches_itself_with_fewer_weights(shared) -> None:
    """A real model, unlabelled noise: one call prunes, rounds and distils."""
    graph = optimize(import_onnx(shared / "models" / "resnet20_cifar10.onnx"))
    random = np.random.default_rng(0)
    x = random.standard_normal((48, 3, 32, 32)).astype(np.float32)
    techniques = [Pruning(sparsity=0.3, end=0.5), WeightQuantization(bits=4, begin=0.5)]
    result = distill(graph, None, x, techniques=techniques, epochs=2, batch_size=16, learning_rate=1e-4)
    assert all(value >= 0.29 for value in result.sparsity.values())
    for name, codes in result.codes.items():
        np.testing.assert_array_equal(codes.dequantize(), result.graph.tensors[name].data)


def test_onnx_files_are_taken_as_they_are(shared) -> None:
    """A path and bytes: the same model, the same training; another network as the teacher."""
    path = shared / "models" / "ccexam_mnist.onnx"
    x = np.random.default_rng(0).standard_normal((16, 1, 28, 28)).astype(np.float32)
    options = {"epochs": 1, "batch_size": 8}
    first, second = (distill(model, None, x, **options) for model in (path, path.read_bytes()))
    assert graph_digest(first.graph) == graph_digest(second.graph)
    student = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    assert distill(str(path), student, x, **options).graph.outputs == ["output"]
