"""A branch of a share-net, and the layers that all nets are made of."""

from caffe import layers as L
from caffe import params as P

from attscale.options import encode

#: lr and decay multipliers of weights and biases (release: biases learn twice as fast and do not decay).
_WEIGHTS_AND_BIAS = {"w": {"lr_mult": 1, "decay_mult": 1}, "b": {"lr_mult": 2, "decay_mult": 0}}
_WEIGHTS = {"w": {"lr_mult": 1, "decay_mult": 1}}
#: BatchNorm counts its statistics; no solver may touch them.
_STATISTICS = {kind: {"lr_mult": 0, "decay_mult": 0} for kind in ("mean", "variance", "factor")}
#: PyTorch's parameters of a BatchNorm learn and decay like all others.
_SCALE = {kind: {"lr_mult": 1, "decay_mult": 1} for kind in "wb"}
#: He's start, by the number of inputs, for nets and heads that are trained from nothing.
MSRA = {"type": "msra"}


class Branch:
    """One scale's copy of a net, sharing parameters by name.

    `suffix` ('', '_res075', '_res05') goes behind every layer's name. Scale 1 keeps the bare names, so that
    released weights match: Caffe copies weights by layer name. With `shared`, parameters are named after the bare
    layer (`conv1_1_w`, `conv1_1_b`), which makes Caffe keep them once for all branches. `frozen` layers have lr 0.
    """

    def __init__(self, net, suffix="", *, shared=False, frozen=False):
        self.net, self.suffix, self.shared, self.frozen = net, suffix, shared, frozen

    def add(self, name, top):
        """Names `top`; unlike NetSpec, refuses a name that is taken, instead of dropping the earlier layer."""
        name += self.suffix
        if name in self.net.tops:
            raise ValueError(f"layer {name!r} is already defined")
        self.net[name] = top
        return top

    def params(self, name, lr_mult=1, *, kinds=_WEIGHTS_AND_BIAS):
        """`param` of a layer's parameters; `lr_mult` multiplies the rates of all.

        kinds: for each, how its shared name ends, and its multipliers.
        """
        if self.frozen:
            lr_mult = 0
        params = [{**multipliers, "lr_mult": lr_mult * multipliers["lr_mult"]} for multipliers in kinds.values()]
        if self.shared:
            for param, kind in zip(params, kinds, strict=True):
                param["name"] = f"{name}_{kind}"
        return params

    def conv(
        self,
        name,
        bottom,
        num_output,
        *,
        kernel_size=3,
        stride=1,
        dilation=1,
        lr_mult=1,
        filler=None,
        params=None,
        bias=True,
    ):
        """A convolution padded by dilation * (kernel - 1) / 2, so that the stride alone changes the size.

        params: what its shared parameters are named after, if not after the layer.
        """
        options = {"num_output": num_output, "kernel_size": kernel_size}
        if pad := dilation * (kernel_size - 1) // 2:
            options["pad"] = pad
        if stride > 1:
            options["stride"] = stride
        if dilation > 1:
            options["dilation"] = dilation
        if filler is not None:
            options["weight_filler"] = filler
            if bias:
                options["bias_filler"] = {"type": "constant", "value": 0}
        kinds = _WEIGHTS_AND_BIAS
        if not bias:
            options["bias_term"] = False
            kinds = _WEIGHTS
        return self.add(name, L.Convolution(bottom, param=self.params(params or name, lr_mult, kinds=kinds), **options))

    def batch_norm(self, name, bottom, *, statistics, lr_mult=1):
        """Caffe's BatchNorm, and its scale and bias as the layer `<name>_scale`, both in place.

        statistics: "train", those of the batch in training and their moving average in testing; or "frozen", always
        the average that the weights hold, while scale and bias still learn.
        """
        frozen = {"use_global_stats": True} if statistics == "frozen" else {}
        params = self.params(name, kinds=_STATISTICS)
        top = self.add(name, L.BatchNorm(bottom, param=params, batch_norm_param=frozen, in_place=True))
        params = self.params(f"{name}_scale", lr_mult, kinds=_SCALE)
        return self.add(f"{name}_scale", L.Scale(top, param=params, scale_param={"bias_term": True}, in_place=True))

    def relu(self, name, bottom):
        return self.add(name, L.ReLU(bottom, in_place=True))

    def dropout(self, name, bottom, ratio):
        return self.add(name, L.Dropout(bottom, dropout_ratio=ratio, in_place=True)) if ratio else bottom

    def pool(self, name, bottom, *, stride, kind="MAX"):
        """3x3 pooling, pad 1 (release)."""
        return self.add(name, L.Pooling(bottom, pool=getattr(P.Pooling, kind), kernel_size=3, stride=stride, pad=1))

    def interp(self, name, bottom, rule):
        """`bottom` resized by this SizeRule; `bottom` itself for None, which `geometry` has for one of that size."""
        return bottom if rule is None else self.add(name, python_layer("Interp", bottom, options=rule))

    def interp_like(self, name, bottom, like):
        """`bottom` at the size of the top `like`."""
        return self.add(name, python_layer("Interp", bottom, like))


def python_layer(layer, *bottoms, options=None, ntop=1):
    """A layer of `attscale.layers`; `options` is the dataclass that its param_str holds."""
    param = {"module": "attscale.layers", "layer": layer}
    if options is not None:
        param["param_str"] = encode(options)
    return L.Python(*bottoms, python_param=param, ntop=ntop)
