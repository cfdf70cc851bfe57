"""The nets in PyTorch are those of the prototxts: scores, losses and gradients as Caffe has them."""

import json
import time

import caffe
import numpy as np
import pytest
from google.protobuf import json_format

from attscale import prototxt
from attscale.bench import ours
from attscale.bench.task import Task
from attscale.errors import UserError

torch = pytest.importorskip("torch", reason="PyTorch is in the optional group bench")
from attscale.bench import peer  # noqa: E402, it needs torch

BASELINE, ATTENTION = "voc12_largefov_narrow", "voc12_attention3_esupv_narrow"


def layers(message):
    return [json_format.MessageToDict(layer, preserving_proto_field_name=True) for layer in message.layer]


def filled(net):
    """Caffe's net with weights that keep the signal's size, biases that are not zero, and a batch."""
    rng = np.random.default_rng(0)
    for weights, bias in net.params.values():
        weights.data[...] = rng.normal(0, np.sqrt(2 / weights.data[0].size), weights.data.shape)
        bias.data[...] = rng.normal(0, 0.1, bias.data.shape)
    ours.fill(net, 21)
    return net


def in_pytorch(message, net):
    """The same in PyTorch, with Caffe's weights; and {name of a parameter: Caffe's gradient}."""
    result, gradients = peer.Net(layers(message)), {}
    for layer in message.layer:
        if layer.type == "Convolution":
            for param, end, blob in zip(layer.param, "wb", net.params[layer.name], strict=True):
                name = param.name or f"{layer.name}_{end}"
                result.weights[name].data[...] = torch.from_numpy(blob.data)
                gradients[name] = blob.diff
    assert set(gradients) == set(result.weights)
    return result, gradients


def model(name, size=65, batch_size=2):
    return ours.InMemory.of(Task(name=name, training=True, size=size, batch_size=batch_size, iterations=1).row)


@pytest.mark.parametrize("name", [BASELINE, ATTENTION])
def test_scores_are_caffes(name):
    message = model(name).deploy
    net = filled(prototxt.load(message))
    net.forward()
    theirs, _ = in_pytorch(message, net)
    with torch.inference_mode():
        tops = theirs.eval()(torch.from_numpy(net.blobs["data"].data.copy()))
    assert set(tops) == set(net.outputs)
    for top in net.outputs:
        expected = net.blobs[top].data
        assert expected.std() > 0.01
        np.testing.assert_allclose(tops[top].numpy(), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", [BASELINE, ATTENTION])
def test_losses_and_gradients_are_caffes(name):
    message = model(name).train_net()
    net = filled(prototxt.load(message, caffe.TRAIN))
    net.forward()
    net.backward()
    theirs, gradients = in_pytorch(message, net)
    losses = theirs.train()(*(torch.from_numpy(net.blobs[blob].data.copy()) for blob in ("data", "label")))
    assert set(losses) == set(net.outputs)
    for loss in losses:
        assert losses[loss].item() == pytest.approx(float(net.blobs[loss].data), rel=1e-5)
    sum(losses.values()).backward()
    for parameter, expected in gradients.items():
        distance = np.linalg.norm(theirs.weights[parameter].grad.numpy() - expected)
        # float32 both: a value that is as good as another in a pooling window may be either's
        assert distance < 1e-2 * np.linalg.norm(expected), parameter


@pytest.mark.parametrize("engine", ["eager", "channels-last"])
@pytest.mark.parametrize("training", [True, False])
def test_a_task(engine, training, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    own = model(ATTENTION, size=33, batch_size=1)
    path = tmp_path / "net.json"
    path.write_text(json.dumps(layers(own.train if training else own.deploy)))
    task = Task(name=ATTENTION, training=training, size=33, iterations=1, engine=engine, threads=1, net=str(path))
    cost = peer.run(task)
    assert 0 < cost.seconds < 60
    assert cost.memory > 100 * 2**20  # PyTorch's own code


def test_a_step_is_sgd_with_momentum_and_decay(tmp_path):
    """From weights of 1: at rate 0 none moves, while the momentum holds the gradient and decay * 1."""
    net = torch.nn.Linear(2, 1)
    torch.nn.init.ones_(net.weight)
    solver = Task(name=ATTENTION, training=True, size=33, iterations=1).row.solver
    seen = []

    class Watched(torch.optim.SGD):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            seen.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "SGD", Watched)
        step = peer._training(net, lambda data, label: {"loss": net(data).sum()}, torch.ones(1, 2), None, solver)
    step()
    assert net.weight.tolist() == [[1, 1]]
    state = seen[0].state[net.weight]["momentum_buffer"]
    assert state.tolist()[0] == pytest.approx([1 + solver.weight_decay] * 2)


def test_a_strange_layer_is_named():
    with pytest.raises(UserError, match=r"^norm: the type LRN is none of those in PyTorch: Convolution, ReLU"):
        peer.Net([{"name": "norm", "type": "LRN", "bottom": ["data"], "top": ["norm"]}])
    average = {"pool": "AVE", "kernel_size": 3}
    with pytest.raises(UserError, match=r"^pool: pooling is AVE, expected MAX$"):
        peer.Net([{"name": "pool", "type": "Pooling", "bottom": ["data"], "top": ["pool"], "pooling_param": average}])


def test_what_takes_too_long_is_ended():
    with pytest.raises(UserError, match=r"^torch\.compile is not done after 1 s$"), peer._patience(1):
        time.sleep(30)
