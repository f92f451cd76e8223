#!/usr/bin/env python3
"""Small TensorFlow graphs with inputs and TensorFlow's own answers, as folders of a corpus.

    tf_cases.py OUT [--only REGEX] [--fixture]

writes OUT/<suite>/<case>/{model.pb,inputs.npz,expected.npz,meta.json}, the form that a corpus runner reads:
suites `layers` (one op, many parameters), `dynamic` (unknown sizes and ranks), `patterns` (a few ops that belong
together), `blocks` (pieces of real networks), `variables` (graph + checkpoint, `.meta`), and with --fixture
`fixture` (the graphs of fixtures/tf_ops). Made with TensorFlow 2.15.1; every case is seeded by its name.
"""

import argparse
import itertools
import json
import os
import re
import shutil
import sys
import zlib

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
tf.disable_control_flow_v2()
tf.disable_resource_variables()
R = tf.raw_ops
ARGS = None
COUNT = {}
SKIPPED = []


class In:
    """An input: `shape` is what is fed, `ph` what the graph declares (default: the same)."""

    def __init__(self, *shape, t="f4", lo=-2.0, hi=2.0, ph="same", name=None):
        self.shape, self.t, self.lo, self.hi, self.name = tuple(shape), t, lo, hi, name
        self.ph = tuple(shape) if ph == "same" else ph

    def draw(self, rng):
        if self.t == "b1":
            return np.asarray(rng.rand(*self.shape) > 0.5)
        if self.t[0] == "f":
            return np.asarray(rng.uniform(self.lo, self.hi, self.shape)).astype(self.t)
        lo, hi = (self.lo, self.hi) if self.lo != -2.0 or self.hi != 2.0 else ((0, 20) if self.t[0] == "u" else (-10, 10))
        return np.asarray(rng.randint(int(lo), int(hi), size=self.shape)).astype(self.t)


def absmax(a):
    a = np.asarray(a)
    if a.dtype.kind != "f" or not a.size:
        return 0.0
    finite = np.abs(a[np.isfinite(a)].astype(np.float64))
    return float(finite.max()) if finite.size else 0.0


def case(name, inputs, build, suite="layers", ref=None, form="frozen", feeds=None):
    """One case: `build` makes outputs from placeholders; `ref` makes the same where TensorFlow's CPU cannot."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
    n = COUNT[name] = COUNT.get(name, -1) + 1
    name = f"{name}__{n}"
    if ARGS.only and not re.search(ARGS.only, name):
        return
    rng = np.random.RandomState(zlib.crc32(name.encode()) % (2**31))
    arrays = [np.asarray(a) for a in feeds] if feeds is not None else [i.draw(rng) for i in inputs]
    folder = os.path.join(ARGS.out, suite, name)
    shutil.rmtree(folder, ignore_errors=True)

    def make(fn):
        np.random.seed(zlib.crc32(name.encode()) % (2**31))
        ins = [tf.placeholder(np.dtype(i.t), i.ph, name=i.name or f"in{k}") for k, i in enumerate(inputs)]
        outs = fn(*ins)
        return ins, (list(outs) if isinstance(outs, (list, tuple)) else [outs])

    meta = {"name": name, "suite": suite, "framework": "tf", "form": form, "model": "model.pb"}
    try:
        with tf.Graph().as_default() as graph:
            tf.set_random_seed(1)
            ins, outs = make(build)
            has_variables = bool(tf.global_variables())
            init = tf.global_variables_initializer() if has_variables else None
            saver = tf.train.Saver(sharded=form == "ckpt") if has_variables else None
            graphdef = graph.as_graph_def()
            os.makedirs(folder)
            if ref is None:
                with tf.Session() as session:
                    if init is not None:
                        session.run(init)
                    answers = session.run(outs, dict(zip(ins, arrays)))
                    if form in ("ckpt", "meta"):
                        saver.save(session, os.path.join(folder, "model.ckpt"))
                    elif has_variables:
                        graphdef = tf.graph_util.convert_variables_to_constants(
                            session, graphdef, [o.op.name for o in outs]
                        )
        if ref is not None:
            with tf.Graph().as_default():
                rins, routs = make(ref)
                with tf.Session() as session:
                    answers = session.run(routs, dict(zip(rins, arrays)))
    except Exception as error:  # TensorFlow itself refuses this combination
        SKIPPED.append(f"{name}: {type(error).__name__} {str(error).splitlines()[0][:160]}")
        shutil.rmtree(folder, ignore_errors=True)
        return
    if form == "ckpt":
        meta.update(model="graph.pb", checkpoint="model.ckpt", meta_graph="model.ckpt.meta")
    if form == "meta":
        meta.update(model="model.ckpt.meta")
    else:
        with open(os.path.join(folder, meta["model"]), "wb") as f:
            f.write(graphdef.SerializeToString(deterministic=True))
    counts = {}
    for node in graphdef.node:
        counts[node.op] = counts.get(node.op, 0) + 1
    consumed = {i.split(":")[0].lstrip("^") for node in graphdef.node for i in node.input}
    live = set()
    stack = [o.op for o in outs]
    while stack:
        op = stack.pop()
        if op.name not in live:
            live.add(op.name)
            stack += [i.op for i in op.inputs] + list(op.control_inputs)
    used = [(i, a) for i, a in zip(ins, arrays) if i.op.name in live]
    spec = lambda a: {"dtype": str(a.dtype), "shape": list(a.shape)}
    answers = [np.asarray(a) for a in answers]
    half = any(a.dtype == np.float16 for a in arrays + answers)
    tolerance = lambda a: {
        "rtol": (1e-2 if half else 1e-4) if a.dtype.kind == "f" else 0.0,
        "atol": (1e-2 if half else 1e-5) * max(1.0, absmax(a)) if a.dtype.kind == "f" else 0.0,
    }
    meta.update(
        ops=sorted(counts),
        op_counts=counts,
        control_flow="none",
        inputs=[{"name": i.op.name, "tensor": i.name, **spec(a)} for i, a in used],
        outputs=[{"name": o.name, **spec(a), **tolerance(a)} for o, a in zip(outs, answers)],
        outputs_are_leaves=not any(o.op.name in consumed for o in outs),
        compare="value",
        generated_with="tensorflow " + tf.__version__,
    )
    np.savez(os.path.join(folder, "inputs.npz"), **{i.op.name: a for i, a in used})
    np.savez(os.path.join(folder, "expected.npz"), **{o.name: a for o, a in zip(outs, answers)})
    with open(os.path.join(folder, "meta.json"), "w") as f:
        json.dump(meta, f, indent=1)


def c(values, t="f4"):
    return tf.constant(np.asarray(values, dtype=t))


def w(*shape, scale=1.0, t="f4"):
    """Weights; `make` seeds the draw by the case."""
    return tf.constant((np.random.uniform(-1, 1, shape) * scale).astype(t))


def nchw(x):
    r = len(x.shape)
    return tf.transpose(x, [0, r - 1] + list(range(1, r - 1)))


def nhwc(x):
    r = len(x.shape)
    return tf.transpose(x, [0] + list(range(2, r)) + [1])


def unary():
    named = {"Relu": "features", "Relu6": "features", "Elu": "features", "Selu": "features", "Softplus": "features",
             "Softsign": "features", "CheckNumerics": "tensor", "Identity": "input", "StopGradient": "input",
             "PreventGradient": "input", "Snapshot": "input", "LogSoftmax": "logits", "Softmax": "logits",
             "LeakyRelu": "features"}
    positive = {"Log", "Sqrt", "Rsqrt", "Log1p", "Reciprocal", "Inv"}
    ops = ["Abs", "Neg", "Square", "Sqrt", "Rsqrt", "Exp", "Log", "Relu", "Relu6", "Elu", "Selu", "Sigmoid", "Tanh",
           "Softplus", "Softsign", "Round", "Rint", "Floor", "Ceil", "Sign", "Reciprocal", "Inv", "Erf", "Erfc",
           "Log1p", "Expm1", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Asinh", "Atan", "CheckNumerics", "Identity",
           "StopGradient", "PreventGradient", "Snapshot", "LogSoftmax", "Softmax", "LeakyRelu", "IsNan", "IsInf",
           "IsFinite", "ZerosLike", "OnesLike"]
    for op in ops:
        def run(x, op=op):
            kw = {named.get(op, "x"): x}
            if op == "CheckNumerics":
                kw["message"] = "m"
            y = getattr(R, op)(**kw)
            return y
        lo, hi = (0.3, 4.0) if op in positive else (-7.0, 7.0) if op in ("Relu6", "Softplus", "Round", "Rint") else (-3.0, 3.0)
        for shape in [(), (1,), (7,), (2, 3), (2, 3, 4), (1, 4, 5, 3), (1, 2, 3, 4, 2)]:
            if shape in [(), (2, 3, 4), (1, 2, 3, 4, 2)] or op in ("LogSoftmax", "Softmax"):
                case(op, [In(*shape, lo=lo, hi=hi)], run)
        case(op + "_f16", [In(2, 3, lo=lo, hi=hi, t="f2")], run)
        case(op + "_f64", [In(2, 3, lo=lo, hi=hi, t="f8")], run)
        if op in ("Abs", "Neg", "Square", "Sign", "Relu", "Relu6", "ZerosLike", "OnesLike", "Identity", "Round", "Snapshot"):
            for t in ("i4", "i8", "u1", "i1", "i2"):
                case(op + "_" + t, [In(2, 5, t=t, lo=0 if t[0] == "u" else -9, hi=9)], run)
        case(op + "_rankless", [In(2, 3, 2, lo=lo, hi=hi, ph=None)], run, "dynamic")
        case(op + "_dyn", [In(2, 3, 2, 4, lo=lo, hi=hi, ph=(None, None, None, 4))], run, "dynamic")
    for t in ("f4", "f8"):
        half = np.array([-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 0.49999997, -0.0], t)
        case("Round_half", [In(10, t=t)], lambda x: tf.round(x), feeds=[half])
        case("Rint_half", [In(10, t=t)], lambda x: R.Rint(x=x), feeds=[half])
    for alpha in (0.0, 0.01, 0.2, 1.0, 1.5, -0.3):
        case("LeakyRelu_alpha", [In(2, 3, 4)], lambda x: R.LeakyRelu(features=x, alpha=alpha))
        if alpha <= 1:  # beyond, TensorFlow itself makes a LeakyRelu of it, which it is not
            case("LeakyRelu_maximum", [In(2, 3, 4)], lambda x: tf.maximum(x, x * alpha))
    for a, b in itertools.product(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"], repeat=2):
        lo, hi = (0, 30) if "u1" in (a, b) else (-30, 30)
        case(f"Cast_{a}_{b}", [In(3, 4, t=a, lo=lo, hi=hi)], lambda x: tf.cast(x, np.dtype(b)))
        case(f"Cast_{a}_{b}_raw", [In(3, 4, t=a, lo=lo, hi=hi)], lambda x: R.Cast(x=x, DstT=tf.as_dtype(np.dtype(b)), Truncate=False))


def binary():
    pairs = [((), ()), ((3,), ()), ((), (2, 3)), ((2, 3), (3,)), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 1)), ((2, 1, 4), (3, 1)),
             ((2, 3, 4, 5), (5,)), ((2, 3, 4, 5), (3, 1, 1)), ((5,), (2, 3, 4, 5)), ((1, 2, 3, 4, 2), (2,)), ((1, 2, 3, 4, 2), (2, 1, 1, 1)),
             ((2, 3, 4, 5), (2, 3, 4, 5)), ((0, 3), (3,)), ((1, 4, 5, 3), (1, 1, 1, 3))]
    arith = ["Add", "AddV2", "Sub", "Mul", "RealDiv", "Div", "Maximum", "Minimum", "SquaredDifference", "FloorDiv", "FloorMod", "Pow",
             "Mod", "DivNoNan", "MulNoNan", "TruncateDiv", "TruncateMod", "Atan2", "Xdivy", "Xlogy", "Xlog1py"]
    comp = ["Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual"]
    for op in arith + comp:
        run = lambda x, y, op=op: getattr(R, op)(x=x, y=y)
        lo = 0.2 if op in ("Pow", "Xlogy", "Xlog1py", "Div", "RealDiv", "FloorMod", "FloorDiv", "Mod", "DivNoNan") else -3.0
        for k, (a, b) in enumerate(pairs):
            if k % 3 == len(op) % 3:
                case(op, [In(*a, lo=lo, hi=3), In(*b, lo=lo, hi=3)], run)
            if k % 3 == (len(op) + 1) % 3:
                case(op + "_const", [In(*a, lo=lo, hi=3)], lambda x: run(x, c(np.random.uniform(lo, 3, b))))
            if k % 3 == (len(op) + 2) % 3:
                case(op + "_const_first", [In(*b, lo=lo, hi=3)], lambda x: run(c(np.random.uniform(lo, 3, a)), x))
        for t in ("f2", "f8", "i4", "i8", "u1", "i1", "i2"):
            l = max(lo, 0.2) if t[0] == "f" else 1
            case(op + "_" + t, [In(2, 5, t=t, lo=l, hi=5), In(5, t=t, lo=l, hi=4)], run)
        case(op + "_dyn", [In(2, 3, 4, lo=lo, hi=3, ph=(None, None, 4)), In(3, 1, lo=lo, hi=3, ph=(None, 1))], run, "dynamic")
        case(op + "_rankless", [In(2, 3, 4, lo=lo, hi=3, ph=None), In(3, 1, lo=lo, hi=3, ph=None)], run, "dynamic")
        case(op + "_same", [In(2, 3, 4, lo=lo, hi=3)], lambda x: run(x, x))
        if op in comp:
            case(op + "_ties", [In(4, 9, t="i4", lo=0, hi=3), In(9, t="i4", lo=0, hi=3)], run)
    for t in ("i4", "i8", "i1", "i2", "f4", "f8"):
        a = np.array([7, -7, 7, -7, 6, -6, 0, 1, -1, 100], t)
        b = np.array([3, 3, -3, -3, 3, 3, 5, -2, 2, -7], t)
        for op in ("FloorDiv", "FloorMod", "Mod", "TruncateMod", "TruncateDiv", "Div", "RealDiv"):
            case(op + "_negative_" + t, [In(10, t=t), In(10, t=t)], lambda x, y: getattr(R, op)(x=x, y=y), feeds=[a, b])
            case(op + "_negative_const_" + t, [In(10, t=t)], lambda x: getattr(R, op)(x=x, y=c(b, t)), feeds=[a])
    for op in ("LogicalAnd", "LogicalOr"):
        for a, b in pairs[:9]:
            case(op, [In(*a, t="b1"), In(*b, t="b1")], lambda x, y: getattr(R, op)(x=x, y=y))
        case(op + "_dyn", [In(2, 3, t="b1", ph=(None, 3)), In(3, t="b1")], lambda x, y: getattr(R, op)(x=x, y=y), "dynamic")
    case("LogicalXor", [In(2, 3, t="b1"), In(3, t="b1")], lambda x, y: tf.logical_xor(x, y))
    for s in [(), (3,), (2, 3, 4)]:
        case("LogicalNot", [In(*s, t="b1")], lambda x: tf.logical_not(x))
    for op in ("Equal", "NotEqual"):
        case(op + "_b1", [In(2, 3, t="b1"), In(3, t="b1")], lambda x, y: getattr(R, op)(x=x, y=y))
        case(op + "_incompatible", [In(2, 3)], lambda x: getattr(R, op)(x=x, y=c([1, 2, 3]), incompatible_shape_error=False))
    for n in (1, 2, 3, 5, 9):
        for t in ("f4", "i4", "i8", "f8"):
            case(f"AddN_{t}", [In(2, 3, t=t)] * n, lambda *a: tf.add_n(list(a)))
    case("AddN_4d", [In(1, 4, 5, 3)] * 4, lambda *a: tf.add_n(list(a)))
    case("AddN_const", [In(2, 3)], lambda a: tf.add_n([a, w(2, 3), a, w(2, 3)]))
    for lo, hi in [(-0.5, 1.0), (0.0, 6.0), (1.0, 1.0), (-1.0, 0.0)]:
        for s in [(), (3, 4), (1, 4, 5, 3)]:
            case("ClipByValue", [In(*s)], lambda x: R.ClipByValue(t=x, clip_value_min=lo, clip_value_max=hi))
            case("clip_by_value", [In(*s)], lambda x: tf.clip_by_value(x, lo, hi))
    case("ClipByValue_inputs", [In(3, 4), In(), In()], lambda x, a, b: R.ClipByValue(t=x, clip_value_min=a, clip_value_max=b),
         feeds=[np.linspace(-3, 3, 12).reshape(3, 4).astype("f4"), np.float32(-1), np.float32(0.5)])
    case("ClipByValue_tensor", [In(3, 4)], lambda x: R.ClipByValue(t=x, clip_value_min=c(-np.ones((3, 4))), clip_value_max=c(np.ones((3, 4)) * 0.5)))
    for t in ("i4", "i8", "f8", "f2"):
        case("ClipByValue_" + t, [In(3, 4, t=t)], lambda x: R.ClipByValue(t=x, clip_value_min=c(-1, t), clip_value_max=c(3, t)))
    for t in ("f4", "f2", "i4", "i8", "b1", "u1", "f8"):
        case("Select_" + t, [In(2, 3, t="b1"), In(2, 3, t=t), In(2, 3, t=t)], lambda k, x, y: R.Select(condition=k, x=x, y=y))
        case("SelectV2_" + t, [In(3, t="b1"), In(2, 3, t=t), In(2, 1, t=t)], lambda k, x, y: R.SelectV2(condition=k, t=x, e=y))
    for k, a, b in [((), (), ()), ((), (2, 3), (2, 3)), ((2,), (2, 3, 4), (2, 3, 4)), ((2, 3, 4, 5),) * 3, ((2,), (2,), (2,)), ((3,), (3, 2, 2, 2), (3, 2, 2, 2)),
                    ((2,), (2, 1, 4, 3, 2), (2, 1, 4, 3, 2))]:
        case("Select", [In(*k, t="b1"), In(*a), In(*b)], lambda k, x, y: R.Select(condition=k, x=x, y=y))
    for k, a, b in [((), (), ()), ((3,), (), ()), ((1,), (3,), ()), ((2, 1), (3,), (2, 3)), ((4, 5, 1), (2, 1, 1, 3), (5, 3)), ((2, 3, 4, 5),) * 3,
                    ((), (2, 3), (3,)), ((0,), (1,), ())]:
        case("SelectV2", [In(*k, t="b1"), In(*a), In(*b)], lambda k, x, y: R.SelectV2(condition=k, t=x, e=y))
    case("Select_dyn", [In(2, t="b1", ph=(None,)), In(2, 3, ph=(None, 3)), In(2, 3, ph=(None, 3))], lambda k, x, y: R.Select(condition=k, x=x, y=y), "dynamic")
    case("Select_rankless", [In(2, t="b1", ph=None), In(2, 3, ph=None), In(2, 3, ph=None)], lambda k, x, y: R.Select(condition=k, x=x, y=y), "dynamic")


def convolutions():
    fmts = ("NHWC", "NCHW")
    for k, s, d, p, f in itertools.product([(1, 1), (3, 3), (2, 5)], [(1, 1), (2, 2), (1, 3)], [(1, 1), (2, 2), (2, 1)], ["SAME", "VALID", "EXPLICIT"], fmts):
        if s != (1, 1) and d != (1, 1) and k == (1, 1):
            continue
        h = zlib.crc32(repr((k, s, d, p, f)).encode())
        if h % 2 and k != (3, 3):
            continue
        g = 2 if h % 5 == 0 else 1
        ci, co = 4, 6

        def run(x, fmt):
            a = lambda v: [1, v[0], v[1], 1] if fmt == "NHWC" else [1, 1, v[0], v[1]]
            pads = [1, 2, 0, 1]
            ex = ([0, 0] + pads + [0, 0] if fmt == "NHWC" else [0, 0, 0, 0] + pads) if p == "EXPLICIT" else []
            return R.Conv2D(input=x, filter=w(k[0], k[1], ci // g, co), strides=a(s), padding=p, explicit_paddings=ex, data_format=fmt, dilations=a(d))
        shape = (2, 13, 12, ci) if f == "NHWC" else (2, ci, 13, 12)
        case(f"Conv2D_{f}_{p}", [In(*shape)], lambda x: run(x, f), ref=None if f == "NHWC" else lambda x: nchw(run(nhwc(x), "NHWC")))
    for k, s, p, f in itertools.product([(1, 1, 1), (3, 3, 3), (2, 3, 1)], [(1, 1, 1), (2, 2, 2), (1, 2, 3)], ["SAME", "VALID"], ("NDHWC", "NCDHW")):
        def run(x, fmt):
            a = lambda v: [1, *v, 1] if fmt == "NDHWC" else [1, 1, *v]
            return R.Conv3D(input=x, filter=w(*k, 2, 3), strides=a(s), padding=p, data_format=fmt)
        shape = (1, 6, 7, 8, 2) if f == "NDHWC" else (1, 2, 6, 7, 8)
        case(f"Conv3D_{f}_{p}", [In(*shape)], lambda x: run(x, f), ref=None if f == "NDHWC" else lambda x: nchw(run(nhwc(x), "NDHWC")))
    case("Conv3D_dilated", [In(1, 7, 8, 9, 2)], lambda x: R.Conv3D(input=x, filter=w(2, 3, 2, 2, 3), strides=[1] * 5, padding="SAME", dilations=[1, 2, 1, 3, 1]))
    for k, s, d, p, m, f in itertools.product([(3, 3), (1, 1), (5, 2)], [1, 2], [1, 2], ["SAME", "VALID", "EXPLICIT"], [1, 2, 3], fmts):
        h = zlib.crc32(repr((k, s, d, p, m, f)).encode())
        if (s > 1 and d > 1) or h % 3 == 0:
            continue

        def run(x, fmt):
            a = lambda v: [1, v, v, 1] if fmt == "NHWC" else [1, 1, v, v]
            ex = ([0, 0, 1, 2, 0, 1, 0, 0] if fmt == "NHWC" else [0, 0, 0, 0, 1, 2, 0, 1]) if p == "EXPLICIT" else []
            if d > 1 and fmt == "NHWC" and ref_dilated:
                return tf.nn.depthwise_conv2d(x, w(*k, 3, m), [1, 1, 1, 1], p, dilations=[d, d])
            return R.DepthwiseConv2dNative(input=x, filter=w(*k, 3, m), strides=a(s), padding=p, explicit_paddings=ex, data_format=fmt, dilations=a(d))
        # TensorFlow's CPU kernel ignores dilations: the reference goes around them by SpaceToBatch.
        ref_dilated = False
        shape = (2, 11, 12, 3) if f == "NHWC" else (2, 3, 11, 12)
        if d > 1:
            if p == "EXPLICIT":
                continue

            def dilated(x):
                x = x if f == "NHWC" else nhwc(x)
                y = tf.nn.depthwise_conv2d(x, w(*k, 3, m), [1, 1, 1, 1], p, dilations=[d, d])
                return y if f == "NHWC" else nchw(y)
            case(f"DepthwiseConv2dNative_dilated_{f}_{p}", [In(*shape)], lambda x: run(x, f), ref=dilated)
        else:
            case(f"DepthwiseConv2dNative_{f}_{p}", [In(*shape)], lambda x: run(x, f), ref=None if f == "NHWC" else lambda x: nchw(run(nhwc(x), "NHWC")))
    for k, s, p, f in itertools.product([1, 2, 3, 4], [1, 2, 3], ["SAME", "VALID"], fmts):
        for extra in (0, 1):
            if extra and s == 1:
                continue
            size = lambda n: n * s - (0 if not extra else 1) if p == "SAME" else (n - 1) * s + k + (1 if extra else 0)
            o = (size(5), size(6))
            if p == "SAME" and extra and s < 2:
                continue

            def run(x, fmt):
                a = [1, s, s, 1] if fmt == "NHWC" else [1, 1, s, s]
                sizes = [2, *o, 4] if fmt == "NHWC" else [2, 4, *o]
                return R.Conv2DBackpropInput(input_sizes=sizes, filter=w(k, k, 4, 3), out_backprop=x, strides=a, padding=p, data_format=fmt)
            shape = (2, 5, 6, 3) if f == "NHWC" else (2, 3, 5, 6)
            case(f"Conv2DBackpropInput_{f}_{p}", [In(*shape)], lambda x: run(x, f), ref=None if f == "NHWC" else lambda x: nchw(run(nhwc(x), "NHWC")))
    for d in (2, 3):
        for p in ("SAME", "VALID"):
            o = 9 if p == "SAME" else 9 + 2 * d
            case("Conv2DBackpropInput_dilated", [In(1, 9, 9, 2)], lambda x: R.Conv2DBackpropInput(input_sizes=[1, o, o, 4], filter=w(3, 3, 4, 2), out_backprop=x, strides=[1] * 4, padding=p, dilations=[1, d, d, 1]))
    case("Conv2DBackpropInput_explicit", [In(1, 5, 6, 3)], lambda x: R.Conv2DBackpropInput(input_sizes=[1, 9, 10, 4], filter=w(3, 3, 4, 3), out_backprop=x, strides=[1, 2, 2, 1], padding="EXPLICIT", explicit_paddings=[0, 0, 1, 1, 0, 2, 0, 0]))
    case("Conv2DBackpropInput_dynamic_sizes", [In(2, 5, 6, 3, ph=(None, None, None, 3))],
         lambda x: tf.nn.conv2d_transpose(x, w(3, 3, 4, 3), tf.stack([tf.shape(x)[0], tf.shape(x)[1] * 2, tf.shape(x)[2] * 2, 4]), [1, 2, 2, 1], "SAME"), "dynamic")
    case("Conv2DBackpropInput_like", [In(1, 5, 6, 3), In(1, 10, 11, 4)],
         lambda x, y: tf.nn.conv2d_transpose(x, w(3, 3, 4, 3), tf.shape(y), [1, 2, 2, 1], "SAME"))
    for k, s, p in itertools.product([1, 2, 3], [1, 2], ["SAME", "VALID"]):
        size = lambda n: n * s if p == "SAME" else (n - 1) * s + max(k, s)
        for f in ("NDHWC", "NCDHW"):
            def run(x, fmt):
                o = [size(3), size(4), size(5)]
                return R.Conv3DBackpropInputV2(input_sizes=[1, *o, 2] if fmt == "NDHWC" else [1, 2, *o], filter=w(k, k, k, 2, 3), out_backprop=x,
                                               strides=[1, s, s, s, 1] if fmt == "NDHWC" else [1, 1, s, s, s], padding=p, data_format=fmt)
            shape = (1, 3, 4, 5, 3) if f == "NDHWC" else (1, 3, 3, 4, 5)
            case(f"Conv3DBackpropInputV2_{f}_{p}", [In(*shape)], lambda x: run(x, f), ref=None if f == "NDHWC" else lambda x: nchw(run(nhwc(x), "NDHWC")))
    for g, dw in itertools.product([2, 3, 4], ["NHWC", "NCHW"]):
        def run(x, fmt):
            ax = 3 if fmt == "NHWC" else 1
            parts = tf.split(x, g, ax)
            st = [1, 2, 2, 1] if fmt == "NHWC" else [1, 1, 2, 2]
            return tf.concat([R.Conv2D(input=q, filter=w(3, 3, 12 // g, 5), strides=st, padding="SAME", data_format=fmt) for q in parts], ax)
        shape = (1, 9, 10, 12) if dw == "NHWC" else (1, 12, 9, 10)
        case(f"Conv2D_split_{dw}", [In(*shape)], lambda x: run(x, dw), "patterns", ref=None if dw == "NHWC" else lambda x: nchw(run(nhwc(x), "NHWC")))
        case(f"Conv2D_split_bias_relu_{dw}", [In(1, 9, 10, 12)], lambda x: tf.nn.relu(tf.concat([tf.nn.bias_add(tf.nn.conv2d(q, w(3, 3, 12 // g, 4), 1, "SAME"), w(4)) for q in tf.split(x, g, 3)], 3)), "patterns")
    case("Conv2D_input_filter", [In(1, 7, 8, 3), In(3, 3, 3, 4)], lambda x, f: tf.nn.conv2d(x, f, 1, "SAME"))
    case("Conv2D_computed_filter", [In(1, 7, 8, 3)], lambda x: tf.nn.conv2d(x, tf.reshape(tf.tile(w(27), [4]), [3, 3, 3, 4]) * 2, 1, "SAME"), "patterns")
    case("Depthwise_input_filter", [In(1, 7, 8, 3), In(3, 3, 3, 2)], lambda x, f: tf.nn.depthwise_conv2d(x, f, [1, 1, 1, 1], "SAME"))
    case("Conv3D_input_filter", [In(1, 5, 6, 7, 2), In(3, 3, 3, 2, 4)], lambda x, f: tf.nn.conv3d(x, f, [1] * 5, "SAME"))
    case("Conv2D_f16", [In(1, 7, 8, 3, t="f2")], lambda x: tf.nn.conv2d(x, w(3, 3, 3, 4, t="f2"), 1, "SAME"))
    case("Conv2D_f64", [In(1, 7, 8, 3, t="f8")], lambda x: tf.nn.conv2d(x, w(3, 3, 3, 4, t="f8"), 1, "SAME"))
    case("Conv1D", [In(2, 11, 3)], lambda x: tf.nn.conv1d(x, w(3, 3, 5), 1, "SAME"), "patterns")
    case("Conv1D_stride_dilated", [In(2, 11, 3)], lambda x: tf.nn.conv1d(x, w(3, 3, 5), 1, "VALID", dilations=2), "patterns")
    for d in (2, 3, 4):
        for p in ("SAME", "VALID"):
            case("atrous_conv2d", [In(1, 13, 14, 3)], lambda x: tf.nn.atrous_conv2d(x, w(3, 3, 3, 4), d, p), "patterns")
            case("space_to_batch_conv", [In(1, 13, 14, 3)], lambda x: tf.nn.with_space_to_batch(x, [d, d], p, lambda a, num_spatial_dims, padding: tf.nn.conv2d(a, w(3, 3, 3, 4), 1, padding), filter_shape=[3, 3], spatial_dims=[1, 2]), "patterns")
    for ph in [(None, 13, 12, 3), (None, None, None, 3), (None, None, None, None), (2, None, 12, 3)]:
        for p, s in itertools.product(("SAME", "VALID"), (1, 2)):
            case("Conv2D_dyn", [In(2, 13, 12, 3, ph=ph)], lambda x: tf.nn.conv2d(x, w(3, 3, 3, 4), s, p), "dynamic")
            case("Depthwise_dyn", [In(2, 13, 12, 3, ph=ph)], lambda x: tf.nn.depthwise_conv2d(x, w(3, 3, 3, 2), [1, s, s, 1], p), "dynamic")
            for pool in ("max_pool2d", "avg_pool2d"):
                case(pool + "_dyn", [In(2, 13, 12, 3, ph=ph)], lambda x: getattr(tf.nn, pool)(x, 3, s, p), "dynamic")
    case("Conv2D_rankless", [In(2, 13, 12, 3, ph=None)], lambda x: R.Conv2D(input=x, filter=w(3, 3, 3, 4), strides=[1, 1, 1, 1], padding="SAME"), "dynamic")
    for pool, k, s, p, f in itertools.product(["MaxPool", "AvgPool"], [(2, 2), (3, 3), (1, 4)], [(1, 1), (2, 2), (3, 1)], ["SAME", "VALID"], fmts):
        def run(x, fmt):
            a = lambda v: [1, *v, 1] if fmt == "NHWC" else [1, 1, *v]
            kw = {"input" if pool == "MaxPool" else "value": x}
            return getattr(R, pool)(ksize=a(k), strides=a(s), padding=p, data_format=fmt, **kw)
        shape = (2, 11, 12, 3) if f == "NHWC" else (2, 3, 11, 12)
        case(f"{pool}_{f}_{p}", [In(*shape)], lambda x: run(x, f), ref=None if f == "NHWC" else lambda x: nchw(run(nhwc(x), "NHWC")))
    for pool, k, s, p, f in itertools.product(["MaxPool3D", "AvgPool3D"], [(2, 2, 2), (3, 1, 2)], [(1, 1, 1), (2, 3, 1)], ["SAME", "VALID"], ("NDHWC", "NCDHW")):
        def run(x, fmt):
            a = lambda v: [1, *v, 1] if fmt == "NDHWC" else [1, 1, *v]
            return getattr(R, pool)(input=x, ksize=a(k), strides=a(s), padding=p, data_format=fmt)
        shape = (1, 6, 7, 8, 2) if f == "NDHWC" else (1, 2, 6, 7, 8)
        case(f"{pool}_{f}_{p}", [In(*shape)], lambda x: run(x, f), ref=None if f == "NDHWC" else lambda x: nchw(run(nhwc(x), "NDHWC")))
    for t in ("f2", "f8"):
        for pool in ("max_pool2d", "avg_pool2d"):
            case(pool + "_" + t, [In(2, 11, 12, 3, t=t)], lambda x: getattr(tf.nn, pool)(x, 3, 2, "SAME"))
    for pads in ([0, 0, 1, 1, 1, 1, 0, 0], [0, 0, 0, 2, 1, 0, 0, 0]):
        case("MaxPool_explicit", [In(2, 11, 12, 3)], lambda x: R.MaxPool(input=x, ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding="EXPLICIT", explicit_paddings=pads))
    for k in (2, 3):
        case("MaxPoolV2", [In(2, 11, 12, 3)], lambda x: R.MaxPoolV2(input=x, ksize=[1, k, k, 1], strides=[1, 2, 1, 1], padding="SAME"))
        case("MaxPoolWithArgmax_first", [In(2, 11, 12, 3)], lambda x: R.MaxPoolWithArgmax(input=x, ksize=[1, k, k, 1], strides=[1, 2, 2, 1], padding="VALID")[0])
    case("MaxPool_int", [In(2, 8, 8, 3, t="i4")], lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"))
    case("AvgPool_global", [In(2, 7, 7, 5)], lambda x: tf.nn.avg_pool2d(x, 7, 1, "VALID"))
    case("MaxPool_channels", [In(2, 5, 5, 6)], lambda x: R.MaxPool(input=x, ksize=[1, 1, 1, 2], strides=[1, 1, 1, 2], padding="VALID"))


def normalisation():
    for v, train, f, s in itertools.product(["", "V2", "V3"], [False, True], ["NHWC", "NCHW"], [(2, 5, 6, 3), (1, 1, 4, 3)]):
        op = "FusedBatchNorm" + v
        for take in ([0], [0, 1, 2]):
            if not train and len(take) > 1:
                take = [0, 1, 2]

            def run(x, fmt):
                r = np.random
                st = (c([]), c([])) if train else (c(r.uniform(-1, 1, 3)), c(r.uniform(0.5, 2, 3)))
                o = getattr(R, op)(x=x, scale=c(r.uniform(0.5, 2, 3)), offset=c(r.uniform(-1, 1, 3)), mean=st[0], variance=st[1], epsilon=1e-3, is_training=train, data_format=fmt)
                return [o[i] for i in take]

            def ref(x):
                o = run(nhwc(x), "NHWC")
                return [nchw(o[0])] + o[1:]
            shape = s if f == "NHWC" else (s[0], s[3], s[1], s[2])
            case(f"{op}_{f}_train{int(train)}", [In(*shape)], lambda x: run(x, f), ref=None if f == "NHWC" else ref)
    for v in ("", "V2", "V3"):
        def run(x, s, o, m, va):
            return getattr(R, "FusedBatchNorm" + v)(x=x, scale=s, offset=o, mean=m, variance=va, epsilon=1e-2, is_training=False)[0]
        case("FusedBatchNorm_inputs", [In(2, 4, 5, 3), In(3), In(3), In(3), In(3, lo=0.5, hi=2)], run)
        case("FusedBatchNorm_dyn", [In(2, 4, 5, 3, ph=(None, None, None, 3))], lambda x: run(x, w(3), w(3), w(3), c([1, 2, 0.5])), "dynamic")
        case("FusedBatchNorm_train_dyn", [In(2, 4, 5, 3, ph=(None, None, None, 3))], lambda x: list(getattr(R, "FusedBatchNorm" + v)(x=x, scale=w(3), offset=w(3), mean=c([]), variance=c([]), epsilon=1e-2, is_training=True)[:3]), "dynamic")
        case("FusedBatchNorm_rankless", [In(2, 4, 5, 3, ph=None)], lambda x: run(x, w(3), w(3), w(3), c([1, 2, 0.5])), "dynamic")
    for f in ("V2", "V3"):
        case("FusedBatchNorm_f16" + f, [In(2, 4, 5, 3, t="f2")], lambda x: getattr(R, "FusedBatchNorm" + f)(x=x, scale=w(3), offset=w(3), mean=w(3), variance=c([1, 2, 0.5]), is_training=False)[0])
        case("FusedBatchNorm_f16_train" + f, [In(2, 4, 5, 3, t="f2")], lambda x: getattr(R, "FusedBatchNorm" + f)(x=x, scale=w(3), offset=w(3), mean=c([]), variance=c([]), is_training=True)[0])
    case("FusedBatchNormV3_5d", [In(2, 3, 4, 5, 3)], lambda x: R.FusedBatchNormV3(x=x, scale=w(3), offset=w(3), mean=w(3), variance=c([1, 2, 0.5]), is_training=False, data_format="NDHWC")[0])
    case("FusedBatchNormV3_5d_train", [In(2, 3, 4, 5, 3)], lambda x: R.FusedBatchNormV3(x=x, scale=w(3), offset=w(3), mean=c([]), variance=c([]), is_training=True, data_format="NDHWC")[0])
    case("FusedBatchNormV3_avgfactor", [In(2, 4, 5, 3)], lambda x: list(R.FusedBatchNormV3(x=x, scale=w(3), offset=w(3), mean=w(3), variance=c([1, 2, 0.5]), is_training=True, exponential_avg_factor=0.3)[:3]))
    for r, b, a, be in itertools.product([1, 2, 5, 7], [1.0, 2.0], [1.0, 1e-4], [0.5, 0.75]):
        if (r + int(b) + int(a) + int(be * 4)) % 2 == 0:
            case("LRN", [In(1, 4, 5, 9)], lambda x: R.LRN(input=x, depth_radius=r, bias=b, alpha=a, beta=be))
    case("LRN_default", [In(2, 4, 5, 12)], lambda x: R.LRN(input=x))
    case("LRN_radius0", [In(2, 4, 5, 12)], lambda x: R.LRN(input=x, depth_radius=0))
    case("LRN_dyn", [In(2, 4, 5, 12, ph=(None, None, None, 12))], lambda x: tf.nn.lrn(x, 2, 1.0, 1e-4, 0.75), "dynamic")
    for s in [(3, 4), (2, 3, 4), (2, 4, 5, 3), (1, 2, 3, 4, 3)]:
        for f in ("NHWC", "NCHW", "N...C"):
            if f == "N...C":
                case("BiasAdd_default", [In(*s)], lambda x: R.BiasAdd(value=x, bias=w(s[-1])))
            elif f == "NCHW":
                case("BiasAdd_NCHW", [In(*s)], lambda x: R.BiasAdd(value=x, bias=w(s[1]), data_format=f))
            else:
                case("BiasAdd_NHWC", [In(*s), In(s[-1])], lambda x, b: R.BiasAdd(value=x, bias=b, data_format=f))
    case("BiasAddV1", [In(3, 4)], lambda x: R.BiasAddV1(value=x, bias=w(4)))
    for t in ("i4", "i8", "f2", "f8"):
        case("BiasAdd_" + t, [In(3, 4, t=t), In(4, t=t)], lambda x, b: R.BiasAdd(value=x, bias=b))
    case("BiasAdd_NCHW_dyn", [In(2, 3, 4, 5, ph=(None, None, None, None))], lambda x: R.BiasAdd(value=x, bias=w(3), data_format="NCHW"), "dynamic")
    case("BiasAdd_NCHW_rankless", [In(2, 3, 4, 5, ph=None)], lambda x: R.BiasAdd(value=x, bias=w(3), data_format="NCHW"), "dynamic")
    for ax in (0, 1, 2, -1, -2, [1, 2], [0, 1, 2, 3]):
        case("l2_normalize", [In(2, 3, 4, 5)], lambda x: tf.nn.l2_normalize(x, ax, epsilon=1e-6), "patterns")
    for ax, kd in itertools.product([[0], [1, 2], [0, 1, 2], [-1]], [False, True]):
        case("moments", [In(2, 3, 4, 5)], lambda x: list(tf.nn.moments(x, ax, keep_dims=kd)), "patterns")
    case("batch_normalization", [In(2, 3, 4, 5)], lambda x: tf.nn.batch_normalization(x, w(5), c([1, 2, 3, 0.5, 0.7]), w(5), w(5), 1e-3), "patterns")
    case("batch_normalization_moments", [In(2, 3, 4, 5)], lambda x: tf.nn.batch_normalization(x, *tf.nn.moments(x, [0, 1, 2]), w(5), w(5), 1e-3), "patterns")
    case("bn_after_conv", [In(1, 8, 8, 3)], lambda x: tf.nn.relu(tf.nn.batch_normalization(tf.nn.conv2d(x, w(3, 3, 3, 5), 1, "SAME"), w(5), c([1, 2, 3, 0.5, 0.7]), w(5), w(5), 1e-3)), "patterns")
    case("bn_no_scale", [In(1, 8, 8, 3)], lambda x: tf.nn.batch_normalization(tf.nn.conv2d(x, w(3, 3, 3, 5), 1, "VALID"), w(5), c([1, 2, 3, 0.5, 0.7]), w(5), None, 1e-3), "patterns")
    case("bn_before_conv", [In(1, 8, 8, 3)], lambda x: tf.nn.conv2d(tf.nn.relu(tf.nn.batch_normalization(x, w(3), c([1, 2, 3]), w(3), w(3), 1e-3)), w(3, 3, 3, 5), 1, "SAME"), "patterns")
    case("bn_direct_before_padded_conv", [In(1, 8, 8, 3)], lambda x: tf.nn.conv2d(tf.nn.batch_normalization(x, w(3), c([1, 2, 3]), w(3), w(3), 1e-3), w(3, 3, 3, 5), 1, "SAME"), "patterns")
    case("bn_direct_before_valid_conv", [In(1, 8, 8, 3)], lambda x: tf.nn.conv2d(tf.nn.batch_normalization(x, w(3), c([1, 2, 3]), w(3), w(3), 1e-3), w(3, 3, 3, 5), 1, "VALID"), "patterns")
    for eps in (1e-5, 1e-3):
        def layer_norm(x, axes, shape):
            m, v = tf.nn.moments(x, axes, keep_dims=True)
            return (x - m) * tf.rsqrt(v + eps) * w(*shape) + w(*shape)
        case("layer_norm", [In(2, 7, 12)], lambda x: layer_norm(x, [-1], (12,)), "patterns")
        case("layer_norm_image", [In(2, 4, 5, 6)], lambda x: layer_norm(x, [1, 2, 3], (6,)), "patterns")
        case("instance_norm", [In(2, 4, 5, 6)], lambda x: layer_norm(x, [1, 2], (6,)), "patterns")
        def group_norm(x, g):
            n, h, ww, ch = 2, 4, 5, 6
            y = tf.reshape(x, [n, h, ww, g, ch // g])
            m, v = tf.nn.moments(y, [1, 2, 4], keep_dims=True)
            y = tf.reshape((y - m) / tf.sqrt(v + eps), [n, h, ww, ch])
            return y * w(6) + w(6)
        for g in (1, 2, 3, 6):
            case("group_norm", [In(2, 4, 5, 6)], lambda x: group_norm(x, g), "patterns")
    def layer_norm_old(x):
        m = tf.reduce_mean(x, -1, keepdims=True)
        v = tf.reduce_mean(tf.square(x - m), -1, keepdims=True)
        return w(12) * (x - m) / tf.sqrt(v + 1e-6) + w(12)
    case("layer_norm_old", [In(2, 7, 12)], layer_norm_old, "patterns")
    case("layer_norm_squared_difference", [In(2, 7, 12, ph=(None, None, 12))], lambda x: tf.squared_difference(x, tf.reduce_mean(x, -1, keepdims=True)), "dynamic")


def products():
    for ta, tb in itertools.product([False, True], repeat=2):
        a, b = ((4, 3) if ta else (3, 4)), ((5, 4) if tb else (4, 5))
        for t in ("f4", "f8", "f2", "i4"):
            case("MatMul_" + t, [In(*a, t=t), In(*b, t=t)], lambda x, y: R.MatMul(a=x, b=y, transpose_a=ta, transpose_b=tb))
            if t[0] == "f":
                case("MatMul_const_" + t, [In(*a, t=t)], lambda x: R.MatMul(a=x, b=w(*b, t=t), transpose_a=ta, transpose_b=tb))
                case("MatMul_const_first_" + t, [In(*b, t=t)], lambda x: R.MatMul(a=w(*a, t=t), b=x, transpose_a=ta, transpose_b=tb))
        for pa, pb in [((), ()), ((2,), (2,)), ((2, 3), (2, 3)), ((2, 1), (3,)), ((1,), (4,)), ((5, 2, 3), (3,))]:
            for op in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
                kw = {"Tout": tf.float32} if op.endswith("3") else {}
                case(op, [In(*pa, *a), In(*pb, *b)], lambda x, y: getattr(R, op)(x=x, y=y, adj_x=ta, adj_y=tb, **kw))
            case("BatchMatMulV2_const", [In(*pa, *a)], lambda x: R.BatchMatMulV2(x=x, y=w(*pb, *b), adj_x=ta, adj_y=tb))
        case("MatMul_dyn", [In(*a, ph=(None, None)), In(*b, ph=(None, None))], lambda x, y: R.MatMul(a=x, b=y, transpose_a=ta, transpose_b=tb), "dynamic")
        case("BatchMatMul_rankless", [In(2, *a, ph=None), In(2, *b, ph=None)], lambda x, y: R.BatchMatMulV2(x=x, y=y, adj_x=ta, adj_y=tb), "dynamic")
    for eq, *shapes in [("ij,jk->ik", (3, 4), (4, 5)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("abc,cd->abd", (2, 3, 4), (4, 5)), ("abcd,cde->abe", (2, 3, 4, 5), (4, 5, 6)),
                        ("BTNH,BFNH->BNFT", (2, 3, 4, 5), (2, 6, 4, 5)), ("BNFT,BTNH->BFNH", (2, 4, 6, 3), (2, 3, 4, 5)), ("ij->ji", (3, 4)), ("ij->i", (3, 4)), ("ij,ij->", (3, 4), (3, 4)),
                        ("i,j->ij", (3,), (4,)), ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)), ("bhwc,cd->bhwd", (1, 3, 4, 5), (5, 6)), ("ij,kj->ik", (3, 4), (5, 4)), ("ijk,ilk->ijl", (2, 3, 4), (2, 5, 4))]:
        case("Einsum", [In(*s) for s in shapes], lambda *a: R.Einsum(inputs=list(a), equation=eq))
    case("dense", [In(2, 3, 4, 5)], lambda x: tf.nn.relu(tf.nn.bias_add(tf.matmul(tf.reshape(x, [-1, 60]), w(60, 7)), w(7))), "patterns")
    case("dense_dyn", [In(2, 3, 4, 5, ph=(None, 3, 4, 5))], lambda x: tf.matmul(tf.reshape(x, [-1, 60]), w(60, 7)) + w(7), "dynamic")
    case("dense_flatten", [In(2, 3, 4, 5, ph=(None, 3, 4, 5))], lambda x: tf.matmul(tf.reshape(x, tf.stack([tf.shape(x)[0], 60])), w(60, 7)) + w(7), "dynamic")
    case("dense_keras_flatten", [In(2, 3, 4, 5, ph=(None, 3, 4, 5))], lambda x: tf.matmul(tf.reshape(x, tf.stack([-1, tf.reduce_prod(tf.shape(x)[1:])])), w(60, 7)) + w(7), "dynamic")
    case("dense_after_conv_flatten", [In(1, 6, 7, 3)], lambda x: tf.matmul(tf.reshape(tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, w(3, 3, 3, 4), 1, "SAME")), 2, 2, "VALID"), [-1, 36]), w(36, 5)), "patterns")
    case("tensordot", [In(2, 3, 4)], lambda x: tf.tensordot(x, w(4, 5), [[2], [0]]), "patterns")
    case("tensordot_dyn", [In(2, 3, 4, ph=(None, None, 4))], lambda x: tf.tensordot(x, w(4, 5), [[2], [0]]), "dynamic")
    def attention(x):
        q, k, v = [tf.transpose(tf.reshape(tf.matmul(tf.reshape(x, [-1, 8]), w(8, 8)), [2, 5, 2, 4]), [0, 2, 1, 3]) for _ in range(3)]
        p = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / 2.0)
        return tf.reshape(tf.transpose(tf.matmul(p, v), [0, 2, 1, 3]), [2, 5, 8])
    case("attention", [In(2, 5, 8)], attention, "blocks")


def reductions():
    axes = [0, 1, -1, [0], [1, 2], [0, 1, 2, 3], [-1, -3], []]
    for op in ("Mean", "Sum", "Max", "Min", "Prod", "EuclideanNorm"):
        run = lambda x, ax, kd: getattr(R, op)(input=x, axis=np.asarray(ax, "i4"), keep_dims=kd)
        for ax, kd in itertools.product(axes, [False, True]):
            case(op, [In(2, 3, 4, 5)], lambda x: run(x, ax, kd))
        case(op + "_scalar", [In()], lambda x: run(x, [], False))
        case(op + "_axis64", [In(2, 3, 4)], lambda x: getattr(R, op)(input=x, axis=c([1], "i8")))
        case(op + "_5d", [In(1, 2, 3, 4, 5)], lambda x: run(x, [2, 3], True))
        for t in ("i4", "i8", "f8", "f2", "u1", "i1"):
            case(op + "_" + t, [In(2, 3, 4, t=t, lo=1, hi=4)], lambda x: run(x, [1], False))
        if op != "Max" and op != "Min":
            case(op + "_empty", [In(0, 3)], lambda x: run(x, [0], False))
        case(op + "_dyn", [In(2, 3, 4, 5, ph=(None, None, None, 5))], lambda x: run(x, [1, 2], False), "dynamic")
        case(op + "_rankless", [In(2, 3, 4, 5, ph=None)], lambda x: run(x, [1, 2], True), "dynamic")
        case(op + "_all_rankless", [In(2, 3, 4, ph=None)], lambda x: getattr(R, op)(input=x, axis=tf.range(tf.rank(x))), "dynamic")
    for op in ("All", "Any"):
        for ax, kd in itertools.product(axes, [False, True]):
            case(op, [In(2, 3, 2, 2, t="b1")], lambda x: getattr(R, op)(input=x, axis=np.asarray(ax, "i4"), keep_dims=kd))
    for op, ax, o in itertools.product(("ArgMax", "ArgMin"), (0, 1, -1, 2), ("i4", "i8")):
        for t in ("f4", "i4"):
            case(f"{op}_{t}", [In(3, 5, 4, t=t)], lambda x: getattr(R, op)(input=x, dimension=ax, output_type=np.dtype(o)))
    for op in ("ArgMax", "ArgMin"):
        for t in ("f2", "f8", "i8", "u1", "i1", "i2"):
            case(f"{op}_{t}", [In(3, 20, t=t)], lambda x: getattr(R, op)(input=x, dimension=1))
        case(op + "_ties", [In(3, 20, t="i4", lo=0, hi=3)], lambda x: getattr(R, op)(input=x, dimension=1))
        case(op + "_1d", [In(20)], lambda x: getattr(R, op)(input=x, dimension=0))
        case(op + "_dyn", [In(2, 3, 4, 5, ph=(None, None, None, 5))], lambda x: getattr(R, op)(input=x, dimension=3), "dynamic")
        case(op + "_image", [In(1, 5, 6, 4)], lambda x: getattr(R, op)(input=tf.nn.conv2d(x, w(1, 1, 4, 3), 1, "SAME"), dimension=3), "patterns")
        case(op + "_rankless", [In(2, 3, 4, ph=None)], lambda x: getattr(R, op)(input=x, dimension=-1), "dynamic")
    for k, s in itertools.product([1, 3], [(5,), (3, 6), (2, 3, 7), (2, 2, 3, 5)]):
        for st in (True, False):
            case("TopKV2", [In(*s)], lambda x: list(R.TopKV2(input=x, k=k, sorted=True)))
        case("TopK", [In(*s)], lambda x: list(R.TopK(input=x, k=k)))
        case("TopKV2_indices", [In(*s)], lambda x: R.TopKV2(input=x, k=k)[1])
    for t in ("i4", "i8", "f8", "f2", "u1"):
        case("TopKV2_" + t, [In(3, 30, t=t, lo=0, hi=9)], lambda x: list(R.TopKV2(input=x, k=4)))
    case("TopKV2_k_input", [In(3, 9), In(t="i4", lo=4, hi=5)], lambda x, k: list(R.TopKV2(input=x, k=k)))
    case("TopKV2_k0", [In(3, 9)], lambda x: list(R.TopKV2(input=x, k=0)))
    case("TopKV2_dyn", [In(3, 9, ph=(None, None))], lambda x: list(R.TopKV2(input=x, k=2)), "dynamic")
    case("in_top_k_like", [In(3, 9)], lambda x: tf.cast(tf.gather(tf.nn.top_k(x, 3)[1], [0, 2], axis=1), tf.float32), "patterns")
    for ex, rev in itertools.product([False, True], repeat=2):
        for ax in (0, -1):
            case("Cumsum", [In(3, 4)], lambda x: tf.cumsum(x, ax, ex, rev))
    case("L2Loss", [In(3, 4)], lambda x: tf.nn.l2_loss(x))
    case("reduce_logsumexp", [In(3, 4)], lambda x: tf.reduce_logsumexp(x, 1), "patterns")
    case("reduce_variance", [In(3, 4, 5)], lambda x: [tf.math.reduce_variance(x, 1), tf.math.reduce_std(x, [1, 2])], "patterns")
    for ax in (0, 1, 2, 3, -2):
        case("softmax_axis", [In(2, 3, 4, 5)], lambda x: tf.nn.softmax(x, ax), "patterns")
        case("log_softmax_axis", [In(2, 3, 4, 5)], lambda x: tf.nn.log_softmax(x, ax), "patterns")
        case("softmax_manual", [In(2, 3, 4, 5)], lambda x: (lambda e: e / tf.reduce_sum(e, ax, keepdims=True))(tf.exp(x - tf.reduce_max(x, ax, keepdims=True))), "patterns")
    case("softmax_axis_dyn", [In(2, 3, 4, 5, ph=(None, None, None, 5))], lambda x: tf.nn.softmax(x, 1), "dynamic")


def shapes():
    S = [(4,), (2, 3), (2, 3, 4), (2, 3, 4, 5), (1, 2, 3, 4, 2)]
    for s in S:
        for ax in range(-len(s), len(s)):
            if (ax + len(s)) % 2 == 0 or len(s) < 4:
                case("ConcatV2", [In(*s), In(*s)], lambda a, b: tf.concat([a, b], ax))
                case("ConcatV2_const", [In(*s)], lambda a: tf.concat([a, w(*s), a], ax))
            if ax >= 0:
                case("Concat", [In(*s), In(*s)], lambda a, b: R.Concat(concat_dim=ax, values=[a, b]))
                case("Unpack", [In(*s)], lambda a: tf.unstack(a, axis=ax))
        for ax in range(-len(s) - 1, len(s) + 1):
            case("Pack", [In(*s), In(*s)], lambda a, b: tf.stack([a, b], ax))
            case("ExpandDims", [In(*s)], lambda a: tf.expand_dims(a, ax))
        perms = list(itertools.permutations(range(len(s))))
        for p in perms[:: max(1, len(perms) // 6)]:
            case("Transpose", [In(*s)], lambda x: tf.transpose(x, p))
            case("Transpose_i8perm", [In(*s)], lambda x: R.Transpose(x=x, perm=c(p, "i8")))
        case("Tile", [In(*s)], lambda x: tf.tile(x, [2, 1, 3, 1, 2][: len(s)]))
        case("Tile64", [In(*s)], lambda x: R.Tile(input=x, multiples=c([1, 2, 1, 2, 1][: len(s)], "i8")))
        case("Shape", [In(*s)], lambda x: [tf.shape(x), tf.shape(x, out_type=tf.int64), tf.size(x), tf.size(x, out_type=tf.int64), tf.rank(x)])
        case("Shape_dyn", [In(*s, ph=(None,) * len(s))], lambda x: [R.Shape(input=x), R.Shape(input=x, out_type=tf.int64), R.Size(input=x), R.Size(input=x, out_type=tf.int64), R.Rank(input=x)], "dynamic")
        case("Shape_rankless", [In(*s, ph=None)], lambda x: [R.Shape(input=x), R.Size(input=x), R.Rank(input=x)], "dynamic")
        for t in ("i4", "i8"):
            case("Roll", [In(*s)], lambda x: R.Roll(input=x, shift=c([1, -2][: min(2, len(s))], t), axis=c([0, -1][: min(2, len(s))], t)))
        case("Roll_scalar", [In(*s)], lambda x: R.Roll(input=x, shift=c(2, "i4"), axis=c(0, "i4")))
        case("Roll_repeated_axis", [In(*s)], lambda x: R.Roll(input=x, shift=c([1, 2], "i4"), axis=c([0, 0], "i4")))
        case("ReverseV2", [In(*s)], lambda x: tf.reverse(x, [-1]))
        case("ReverseV2_all", [In(*s)], lambda x: tf.reverse(x, list(range(len(s)))))
        case("ZerosLike_dyn", [In(*s, ph=(None,) * len(s))], lambda x: [R.ZerosLike(x=x), R.OnesLike(x=x)], "dynamic")
    case("ReverseV2_none", [In(2, 3)], lambda x: R.ReverseV2(tensor=x, axis=c([], "i4")))
    case("Roll_dyn", [In(2, 3, 4, ph=(None, None, 4))], lambda x: tf.roll(x, [1, -1], [0, 2]), "dynamic")
    case("ConcatV2_axis64", [In(2, 3), In(2, 3)], lambda a, b: R.ConcatV2(values=[a, b], axis=c(1, "i8")))
    for t in ("i4", "i8", "f2", "f8", "b1", "u1"):
        case("ConcatV2_" + t, [In(2, 3, t=t), In(2, 4, t=t)], lambda a, b: tf.concat([a, b], 1))
        case("Pack_" + t, [In(2, 3, t=t), In(2, 3, t=t)], lambda a, b: tf.stack([a, b], 1))
        case("Transpose_" + t, [In(2, 3, 4, t=t)], lambda a: tf.transpose(a, [2, 0, 1]))
        case("Tile_" + t, [In(2, 3, t=t)], lambda a: tf.tile(a, [2, 2]))
        case("Gather_" + t, [In(5, 3, t=t)], lambda a: tf.gather(a, [0, 4, 2]))
        case("StridedSlice_" + t, [In(5, 6, t=t)], lambda a: a[1:4, ::2])
        case("Reshape_" + t, [In(5, 6, t=t)], lambda a: tf.reshape(a, [3, 10]))
        case("Pad_" + t, [In(2, 3, t=t)], lambda a: R.Pad(input=a, paddings=[[1, 0], [2, 1]]))
        case("Squeeze_" + t, [In(1, 3, 1, t=t)], lambda a: tf.squeeze(a))
    case("ConcatV2_empty", [In(0, 3), In(2, 3)], lambda a, b: tf.concat([a, b], 0))
    case("ConcatV2_many", [In(2, 3)] * 7, lambda *a: tf.concat(list(a), 1))
    case("ConcatV2_one", [In(2, 3)], lambda a: R.ConcatV2(values=[a, c(np.zeros((2, 0)))], axis=1))
    case("ConcatV2_dyn", [In(2, 3, ph=(None, 3)), In(1, 3, ph=(None, 3))], lambda a, b: tf.concat([a, b], 0), "dynamic")
    case("Pack_scalars", [In(), In(), In()], lambda *a: tf.stack(list(a)))
    case("Pack_one", [In(2, 3)], lambda a: tf.stack([a], 1))
    case("Unpack_negative", [In(2, 3, 4)], lambda a: tf.unstack(a, axis=-2))
    case("Unpack_one", [In(2, 1, 4)], lambda a: tf.unstack(a, axis=1))
    case("Unpack_some", [In(3, 4)], lambda a: tf.unstack(a, axis=0)[1])
    case("Unpack_dyn", [In(2, 3, 4, ph=(None, 3, None))], lambda a: tf.unstack(a, axis=1), "dynamic")
    for n, ax, s in [(2, 0, (4, 3)), (3, 1, (4, 6)), (2, -1, (2, 3, 4)), (5, 2, (1, 2, 5, 3)), (1, 0, (4,)), (2, 4, (1, 2, 3, 4, 6))]:
        case("Split", [In(*s)], lambda x: tf.split(x, n, ax))
        case("Split_second", [In(*s)], lambda x: tf.split(x, n, ax)[-1])
    for sizes, ax, s in [([1, 3], 0, (4, 3)), ([1, 2, -1], 1, (4, 6)), ([2, 0, 2], -1, (2, 3, 4)), ([-1], 0, (4,)), ([1, 1, 3], 2, (1, 2, 5, 3))]:
        case("SplitV", [In(*s)], lambda x: tf.split(x, sizes, ax))
        case("SplitV64", [In(*s)], lambda x: list(R.SplitV(value=x, size_splits=c(sizes, "i8"), axis=ax, num_split=len(sizes))))
    case("Split_dyn", [In(4, 6, ph=(None, 6))], lambda x: tf.split(x, 2, 1), "dynamic")
    case("Split_dyn_axis", [In(4, 6, ph=(None, None))], lambda x: tf.split(x, 2, 0), "dynamic")
    case("Split_axis_rankless", [In(4, 6, ph=None)], lambda x: tf.split(x, 2, -1), "dynamic")
    case("SplitV_dyn", [In(4, 6, ph=(None, None))], lambda x: tf.split(x, [1, -1], 1, num=2), "dynamic")
    for s, ax in [((1, 3), None), ((1, 3, 1), [0]), ((1, 3, 1), [2]), ((1, 3, 1, 4), [-2]), ((1, 1, 1), None), ((1, 1, 1), [0, 1, 2]), ((2, 3), None), ((1,), [0]), ((1, 1, 5, 1, 2), [0, 3]), ((1, 7, 7, 1), [3])]:
        case("Squeeze", [In(*s)], lambda x: tf.squeeze(x, ax))
    case("Squeeze_dyn", [In(1, 3, 1, 4, ph=(None, None, 1, None))], lambda x: tf.squeeze(x, [2]), "dynamic")
    case("Squeeze_rankless", [In(1, 3, 1, 4, ph=None)], lambda x: tf.squeeze(x, [0, 2]), "dynamic")
    case("Squeeze_all_static", [In(1, 3, 1, 4)], lambda x: R.Squeeze(input=x), "dynamic")
    for s, o in [((2, 3, 4), [6, 4]), ((2, 3, 4), [-1]), ((2, 3, 4), [2, -1, 2]), ((1,), []), ((), [1, 1]), ((24,), [1, 2, 3, 4]), ((0, 3), [3, 0]), ((0, 3), [0, -1][:1] + [3]), ((1, 2, 3, 4), [1, 24])]:
        case("Reshape", [In(*s)], lambda x: tf.reshape(x, np.asarray(o, "i4")))
        case("Reshape64", [In(*s)], lambda x: R.Reshape(tensor=x, shape=c(o, "i8")))
    case("Reshape_like", [In(2, 3, 4), In(4, 6)], lambda x, y: tf.reshape(x, tf.shape(y)))
    case("Reshape_like_dyn", [In(2, 3, 4, ph=(None, None, None)), In(4, 6, ph=(None, None))], lambda x, y: tf.reshape(x, tf.shape(y)), "dynamic")
    case("Reshape_input", [In(2, 3, 4), In(2, t="i4")], lambda x, y: tf.reshape(x, y), "dynamic", feeds=[np.arange(24).reshape(2, 3, 4).astype("f4"), np.array([4, -1], "i4")])
    case("Reshape_concat", [In(2, 3, 4, ph=(None, 3, 4))], lambda x: tf.reshape(x, tf.concat([tf.shape(x)[:1], [12]], 0)), "dynamic")
    case("Reshape_shuffle_dyn", [In(2, 5, 6, 4, ph=(None, None, None, 4))],
         lambda x: (lambda s: tf.reshape(tf.transpose(tf.reshape(x, [s[0], s[1], s[2], 2, 2]), [0, 1, 2, 4, 3]), [s[0], s[1], s[2], 4]))(tf.shape(x)), "dynamic")
    case("channel_shuffle", [In(1, 5, 6, 8)], lambda x: tf.reshape(tf.transpose(tf.reshape(tf.nn.conv2d(x, w(1, 1, 8, 8), 1, "SAME"), [-1, 5, 6, 2, 4]), [0, 1, 2, 4, 3]), [-1, 5, 6, 8]), "patterns")
    slices = [np.s_[1:3], np.s_[::2], np.s_[::-1], np.s_[-2:], np.s_[:-1], np.s_[0], np.s_[-1], np.s_[1, 2], np.s_[..., 0], np.s_[..., 1:], np.s_[:, tf.newaxis], np.s_[tf.newaxis, ..., tf.newaxis],
              np.s_[1:4:2, ::-2, 1], np.s_[:, 2, ..., tf.newaxis], np.s_[4:1:-1], np.s_[:, :, ::-1], np.s_[2:2], np.s_[100:], np.s_[-100:100], np.s_[..., ::-1, 0], np.s_[0:1], np.s_[:, -1:, tf.newaxis, 0], np.s_[1, tf.newaxis, 2, ..., 1:3]]
    for s in slices:
        case("StridedSlice", [In(5, 6, 4)], lambda x: x[s])
        case("StridedSlice_dyn", [In(5, 6, 4, ph=(None, None, None))], lambda x: x[s], "dynamic")
    for s in [np.s_[..., 0], np.s_[:, ::2, 1:, :], np.s_[..., ::-1], np.s_[:, :, :, 1:3], np.s_[0], np.s_[:, 1:-1, 1:-1]]:
        case("StridedSlice_4d", [In(2, 5, 6, 4)], lambda x: x[s])
        case("StridedSlice_conv", [In(2, 5, 6, 4)], lambda x: tf.nn.conv2d(x, w(3, 3, 4, 4), 1, "SAME")[s], "patterns")
    case("StridedSlice_rankless", [In(5, 6, 4, ph=None)], lambda x: [x[1:3], x[0], x[..., 1]], "dynamic")
    case("StridedSlice_computed", [In(5, 6, ph=(None, None))], lambda x: x[: tf.shape(x)[0] // 2, tf.shape(x)[1] - 2 :], "dynamic")
    case("StridedSlice_raw", [In(5, 6)], lambda x: R.StridedSlice(input=x, begin=[1, 2], end=[4, 3], strides=[1, 1], shrink_axis_mask=2))
    case("StridedSlice_raw_short", [In(5, 6, 4)], lambda x: R.StridedSlice(input=x, begin=c([1], "i8"), end=c([4], "i8"), strides=c([1], "i8")))
    for b, z in [([0, 0], [2, 3]), ([1, 2], [-1, -1]), ([4, 0], [1, 6]), ([0, 0], [0, 6])]:
        case("Slice", [In(5, 6)], lambda x: tf.slice(x, b, z))
        case("Slice64", [In(5, 6)], lambda x: R.Slice(input=x, begin=c(b, "i8"), size=c(z, "i8")))
        case("Slice_dyn", [In(5, 6, ph=(None, None))], lambda x: tf.slice(x, b, z), "dynamic")
    case("Slice_4d", [In(2, 5, 6, 4)], lambda x: tf.slice(tf.nn.relu(tf.nn.conv2d(x, w(1, 1, 4, 4), 1, "SAME")), [0, 1, 2, 1], [-1, 3, -1, 2]), "patterns")
    case("Slice_computed", [In(5, 6, ph=(None, None))], lambda x: tf.slice(x, [0, 1], tf.stack([tf.shape(x)[0] - 1, 2])), "dynamic")
    for ps, ix, ax, bd in [((5, 3), (), 0, 0), ((5, 3), (4,), 0, 0), ((5, 3), (2, 2), 0, 0), ((5, 3), (2,), 1, 0), ((5, 3, 4), (2, 3), -1, 0), ((5, 3, 4), (2, 3), 1, 0), ((2, 5, 3), (2, 4), 1, 1), ((2, 5, 3), (2, 4), 2, 1),
                           ((2, 3, 5), (2, 3, 2), 2, 2), ((2, 5, 3), (2,), 1, 1), ((2, 5, 3), (2, 4), -1, -1), ((4,), (3,), 0, 0), ((2, 4, 5, 3), (2,), 3, 0)]:
        lim = min(3, ps[ax])
        for it in ("i4", "i8"):
            case("GatherV2", [In(*ps), In(*ix, t=it, lo=0, hi=lim)], lambda x, i: R.GatherV2(params=x, indices=i, axis=ax, batch_dims=bd))
        case("GatherV2_const", [In(*ps)], lambda x: R.GatherV2(params=x, indices=c(np.random.randint(0, lim, ix), "i4"), axis=ax, batch_dims=bd))
        if bd == 0 and ax == 0:
            case("Gather", [In(*ps), In(*ix, t="i4", lo=0, hi=lim)], lambda x, i: R.Gather(params=x, indices=i))
    case("Gather_embedding", [In(3, 4, t="i4", lo=0, hi=9)], lambda i: tf.gather(w(10, 6), i), "patterns")
    case("GatherV2_dyn", [In(5, 3, ph=(None, 3)), In(4, t="i4", lo=0, hi=5, ph=(None,))], lambda x, i: tf.gather(x, i), "dynamic")
    for ps, ix, bd in [((5, 3), (4, 1), 0), ((5, 3), (4, 2), 0), ((2, 3, 4), (3, 2), 0), ((5,), (2, 1), 0), ((2, 3, 4), (2, 2, 1), 1)]:
        case("GatherNd", [In(*ps), In(*ix, t="i4", lo=0, hi=2)], lambda x, i: tf.gather_nd(x, i, batch_dims=bd))
    case("ScatterNd", [In(3, 1, t="i4", lo=0, hi=5), In(3, 4)], lambda i, u: tf.scatter_nd(i, u, [6, 4]))
    for d, on, off, ax in [(5, 1.0, 0.0, -1), (3, 2.0, -1.0, 0), (4, 5.0, 5.0, 1), (1, 1.0, 0.0, -1)]:
        for s in [(), (4,), (2, 3), (2, 3, 2)]:
            for it in ("i4", "i8", "u1"):
                if ax <= len(s) and (it == "i4" or d == 5):
                    case("OneHot", [In(*s, t=it, lo=0 if it == "u1" else -1, hi=6)], lambda i: R.OneHot(indices=i, depth=d, on_value=on, off_value=off, axis=ax))
    for t in ("i4", "i8", "b1", "f2", "f8", "u1"):
        case("OneHot_" + t, [In(4, t="i4", lo=0, hi=5)], lambda i: tf.one_hot(i, 5, on_value=c(1, t), off_value=c(0, t)))
    case("OneHot_depth_input", [In(4, t="i4", lo=0, hi=5), In(t="i4", lo=5, hi=6)], lambda i, d: tf.one_hot(i, d), "dynamic")
    for d in ([2, 3], [], [4], [0, 2], [1, 2, 3, 4]):
        case("Fill", [In()], lambda x: tf.fill(np.asarray(d, "i4"), x))
        for t in ("i4", "b1", "f2", "i8"):
            case("Fill_" + t, [In(t=t)], lambda x: R.Fill(dims=c(d, "i8"), value=x))
    case("Fill_dims_input", [In(2, t="i4", lo=1, hi=4)], lambda d: tf.fill(d, 2.5), "dynamic")
    case("Fill_shape", [In(3, 4, ph=(None, None))], lambda x: tf.fill(tf.shape(x), 1.5), "dynamic")
    case("Fill_batch", [In(3, 4, ph=(None, 4))], lambda x: tf.concat([x, tf.fill(tf.stack([tf.shape(x)[0], 2]), 0.5)], 1), "dynamic")
    for a, b, d in [(0, 5, 1), (2, 17, 3), (5, 0, -2), (0, 0, 1), (-3, 4, 2)]:
        for t in ("i4", "i8", "f4", "f8"):
            case("Range_start_" + t, [In(t=t)], lambda x: tf.range(x, c(b, t), c(d, t)), "dynamic", feeds=[np.asarray(a, t)])
            case("Range_limit_" + t, [In(t=t)], lambda x: tf.range(c(a, t), x, c(d, t)), "dynamic", feeds=[np.asarray(b, t)])
    case("Range_batch", [In(3, 4, ph=(None, 4))], lambda x: tf.cast(tf.range(tf.shape(x)[0]), tf.float32), "dynamic")
    case("Range_const", [In(5)], lambda x: x + tf.range(0.0, 1.0, 0.2))
    case("LinSpace", [In()], lambda x: tf.linspace(x, 3.0, 7), "layers")
    for s, o in [((3,), [2, 3]), ((3, 1), [2, 3, 4]), ((), [2, 2]), ((2, 1, 4), [2, 3, 4])]:
        case("BroadcastTo", [In(*s)], lambda x: tf.broadcast_to(x, o))
    case("BroadcastTo_dyn", [In(1, 4), In(3, 4, ph=(None, 4))], lambda x, y: tf.broadcast_to(x, tf.shape(y)), "dynamic")
    case("Tile_dyn", [In(1, 4), In(3, 4, ph=(None, 4))], lambda x, y: tf.tile(x, tf.stack([tf.shape(y)[0], 1])), "dynamic")
    case("Tile_input", [In(2, 4), In(2, t="i4", lo=1, hi=4)], lambda x, m: tf.tile(x, m), "dynamic")
    case("Tile_zero", [In(2, 4)], lambda x: tf.tile(x, [0, 1]))
    case("Tile_scalar", [In()], lambda x: tf.tile(x, c(np.zeros(0), "i4")))
    for p in ([[1, 2]], [[0, 0]], [[3, 0]]):
        case("Pad_1d", [In(5)], lambda x: R.Pad(input=x, paddings=p))
        case("PadV2_1d", [In(5)], lambda x: R.PadV2(input=x, paddings=c(p, "i8"), constant_values=-1.5))
    for p in ([[0, 0], [1, 1], [2, 0], [0, 0]], [[1, 0], [0, 0], [0, 3], [2, 1]], [[0, 0]] * 4, [[0, 0], [0, 0], [0, 0], [0, 2]]):
        case("Pad_4d", [In(2, 5, 6, 3)], lambda x: tf.pad(x, p))
        case("PadV2_4d", [In(2, 5, 6, 3)], lambda x: tf.pad(x, p, constant_values=2.5))
        case("PadV2_value_input", [In(2, 5, 6, 3), In()], lambda x, v: R.PadV2(input=x, paddings=p, constant_values=v))
        for m in ("REFLECT", "SYMMETRIC"):
            case("MirrorPad_" + m, [In(2, 5, 6, 4)], lambda x: R.MirrorPad(input=x, paddings=p, mode=m))
    for m in ("REFLECT", "SYMMETRIC"):
        for t in ("i4", "i8", "f8"):
            case("MirrorPad_" + t, [In(5, t=t)], lambda x: R.MirrorPad(input=x, paddings=c([[2, 1]], "i8"), mode=m))
        case("MirrorPad_dyn", [In(5, 6, ph=(None, None))], lambda x: tf.pad(x, [[1, 2], [0, 3]], m), "dynamic")
        case("MirrorPad_full", [In(3, 4)], lambda x: tf.pad(x, [[2, 2], [3, 3]] if m == "REFLECT" else [[3, 3], [4, 4]], m))
        case("MirrorPad_conv", [In(1, 7, 8, 3)], lambda x: tf.nn.conv2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], m), w(3, 3, 3, 4), 1, "VALID"), "patterns")
    case("Pad_dyn", [In(2, 5, 6, 3, ph=(None, None, None, 3))], lambda x: tf.pad(x, [[0, 0], [1, 1], [2, 0], [0, 0]]), "dynamic")
    case("Pad_rankless", [In(2, 5, ph=None)], lambda x: tf.pad(x, [[0, 0], [1, 1]]), "dynamic")
    case("Pad_computed", [In(2, 5, ph=(None, None))], lambda x: tf.pad(x, tf.stack([[0, 0], tf.stack([0, 8 - tf.shape(x)[1]])])), "dynamic")
    for pad, s in [([[0, 0], [1, 1], [1, 1], [0, 0]], 1), ([[0, 0], [0, 1], [0, 1], [0, 0]], 2), ([[0, 0], [3, 3], [3, 3], [0, 0]], 2)]:
        case("Pad_conv", [In(1, 9, 10, 3)], lambda x: tf.nn.relu(tf.nn.conv2d(tf.pad(x, pad), w(3, 3, 3, 4), s, "VALID") + w(4)), "patterns")
        case("PadV2_conv", [In(1, 9, 10, 3)], lambda x: tf.nn.conv2d(tf.pad(x, pad, constant_values=1.0), w(3, 3, 3, 4), s, "VALID"), "patterns")
        case("Pad_same_conv", [In(1, 9, 10, 3)], lambda x: tf.nn.conv2d(tf.pad(x, pad), w(3, 3, 3, 4), s, "SAME"), "patterns")
        case("Pad_maxpool", [In(1, 9, 10, 3)], lambda x: tf.nn.max_pool2d(tf.pad(x, pad), 3, s, "VALID"), "patterns")
        case("Pad_relu_maxpool", [In(1, 9, 10, 3)], lambda x: tf.nn.max_pool2d(tf.pad(tf.nn.relu(x), pad), 3, s, "VALID"), "patterns")
        case("Pad_avgpool", [In(1, 9, 10, 3)], lambda x: tf.nn.avg_pool2d(tf.pad(x, pad), 3, s, "VALID"), "patterns")
        case("Pad_depthwise", [In(1, 9, 10, 3)], lambda x: tf.nn.depthwise_conv2d(tf.pad(x, pad), w(3, 3, 3, 1), [1, s, s, 1], "VALID"), "patterns")
    case("InvertPermutation", [In(3, 4, 5)], lambda x: tf.transpose(x, tf.invert_permutation([2, 0, 1])), "patterns")
    case("ReverseSequence", [In(3, 4, 5)], lambda x: tf.reverse_sequence(x, [1, 4, 2], seq_axis=1, batch_axis=0))
    case("MatrixBandPart", [In(4, 5)], lambda x: tf.matrix_band_part(x, 1, 2))
    case("MatrixDiag", [In(4)], lambda x: R.MatrixDiag(diagonal=x))
    case("Unique", [In(8, t="i4", lo=0, hi=4)], lambda x: list(tf.unique(x)), "dynamic")
    case("Where", [In(3, 4, t="b1")], lambda x: tf.where(x), "dynamic")
    case("boolean_mask", [In(3, 4), In(3, t="b1")], lambda x, m: tf.boolean_mask(x, m), "dynamic", feeds=[np.arange(12).reshape(3, 4).astype("f4"), np.array([True, False, True])])
    case("EnsureShape", [In(3, 4, ph=(None, 4))], lambda x: R.EnsureShape(input=x, shape=[3, 4]), "dynamic")
    case("BroadcastArgs", [In(2, t="i4", lo=1, hi=2), In(3, t="i4", lo=1, hi=2)], lambda x, y: R.BroadcastArgs(s0=x, s1=y))
    case("ShapeN", [In(2, 3), In(4, ph=(None,))], lambda x, y: [o + 0 for o in tf.shape_n([x, y])], "dynamic")
    case("ListDiff", [In(6, t="i4", lo=0, hi=9)], lambda x: list(R.ListDiff(x=x, y=c([1, 2, 3], "i4"))), "dynamic")
    case("eye", [In(3, 3)], lambda x: x + tf.eye(3), "patterns")
    case("Addons_Size_mean", [In(3, 4, ph=(None, None))], lambda x: tf.reduce_sum(x) / tf.cast(tf.size(x), tf.float32), "dynamic")


def images():
    for size, half, align in itertools.product([(10, 12), (5, 6), (3, 4), (7, 13), (1, 1), (20, 3)], [False, True], [False, True]):
        if half and align:
            continue
        for f in (R.ResizeBilinear, R.ResizeNearestNeighbor):
            n = "ResizeBilinear" if f is R.ResizeBilinear else "ResizeNearestNeighbor"
            case(n, [In(2, 5, 6, 3)], lambda x: f(images=x, size=list(size), align_corners=align, half_pixel_centers=half))
    for f, n in ((R.ResizeBilinear, "ResizeBilinear"), (R.ResizeNearestNeighbor, "ResizeNearestNeighbor")):
        for t in ("i4", "u1", "f8", "f2", "i8"):
            case(n + "_" + t, [In(1, 5, 6, 3, t=t, lo=0, hi=50)], lambda x: f(images=x, size=[7, 9], half_pixel_centers=True))
        case(n + "_dyn", [In(1, 5, 6, 3, ph=(None, None, None, 3))], lambda x: f(images=x, size=[7, 9]), "dynamic")
        case(n + "_twice", [In(1, 5, 6, 3, ph=(None, None, None, 3))], lambda x: f(images=x, size=tf.shape(x)[1:3] * 2), "dynamic")
        case(n + "_like", [In(1, 5, 6, 3), In(1, 9, 11, 2)], lambda x, y: f(images=x, size=tf.shape(y)[1:3]), "patterns")
        case(n + "_size_input", [In(1, 5, 6, 3), In(2, t="i4", lo=4, hi=9)], lambda x, s: f(images=x, size=s), "dynamic")
        case(n + "_conv", [In(1, 5, 6, 3)], lambda x: tf.nn.conv2d(f(images=tf.nn.conv2d(x, w(3, 3, 3, 4), 1, "SAME"), size=[10, 12], align_corners=n == "ResizeBilinear"), w(3, 3, 4, 2), 1, "SAME"), "patterns")
    case("resize_bicubic", [In(1, 5, 6, 3)], lambda x: R.ResizeBicubic(images=x, size=[10, 12]))
    case("upsample_repeat", [In(1, 5, 6, 3)], lambda x: tf.reshape(tf.tile(tf.reshape(x, [1, 5, 1, 6, 1, 3]), [1, 1, 2, 1, 2, 1]), [1, 10, 12, 3]), "patterns")
    for b in (2, 3, 4):
        for f in ("NHWC", "NCHW"):
            s2d = (1, 12, 24, 2) if f == "NHWC" else (1, 2, 12, 24)
            d2s = (2, 3, 4, b * b * 2) if f == "NHWC" else (2, b * b * 2, 3, 4)
            for op, s in (("SpaceToDepth", s2d), ("DepthToSpace", d2s)):
                run = lambda x, fmt: getattr(R, op)(input=x, block_size=b, data_format=fmt)
                case(f"{op}_{f}", [In(*s)], lambda x: run(x, f), ref=None if f == "NHWC" else lambda x: nchw(run(nhwc(x), "NHWC")))
    for op, s in (("SpaceToDepth", (1, 4, 6, 2)), ("DepthToSpace", (1, 2, 3, 8))):
        case(op + "_i4", [In(*s, t="i4")], lambda x: getattr(R, op)(input=x, block_size=2))
        case(op + "_dyn", [In(*s, ph=(None, None, None, s[3]))], lambda x: getattr(R, op)(input=x, block_size=2), "dynamic")
        case(op + "_conv", [In(*s)], lambda x: tf.nn.conv2d(getattr(R, op)(input=tf.nn.relu(tf.nn.conv2d(x, w(1, 1, s[3], s[3]), 1, "SAME")), block_size=2), w(1, 1, s[3] * 4 if op[0] == "S" else s[3] // 4, 3), 1, "SAME"), "patterns")
    for s, b, p in [((1, 4, 4, 3), [2, 2], [[0, 0], [0, 0]]), ((1, 5, 7, 3), [2, 3], [[0, 1], [1, 1]]), ((2, 6, 3), [3], [[1, 2]]), ((1, 4, 6, 5, 2), [2, 1, 3], [[0, 0], [1, 2], [0, 1]]), ((2, 9), [3], [[0, 0]]), ((1, 4, 4, 3), [1, 1], [[0, 0], [0, 0]]), ((1, 4, 4, 3), [2], [[0, 0]])]:
        for t in ("i4", "i8"):
            case("SpaceToBatchND", [In(*s)], lambda x: R.SpaceToBatchND(input=x, block_shape=c(b, t), paddings=c(p, t)))
        case("SpaceToBatchND_dyn", [In(*s, ph=(None,) * len(s))], lambda x: tf.space_to_batch_nd(x, b, p), "dynamic")
        case("SpaceToBatchND_round_trip", [In(*s)], lambda x: tf.batch_to_space_nd(tf.space_to_batch_nd(x, b, p) * 2.0, b, p), "patterns")
    for s, b, k in [((4, 2, 3, 2), [2, 2], [[0, 0], [0, 0]]), ((6, 3, 4, 2), [2, 3], [[1, 2], [0, 3]]), ((6, 4, 2), [3], [[2, 1]]), ((12, 2, 3, 2, 1), [2, 3, 2], [[0, 1], [1, 0], [1, 1]]), ((3, 4), [3], [[0, 5]]), ((4, 3, 3, 1), [2, 2], [[1, 1], [1, 1]])]:
        for t in ("i4", "i8"):
            case("BatchToSpaceND", [In(*s)], lambda x: R.BatchToSpaceND(input=x, block_shape=c(b, t), crops=c(k, t)))
        case("BatchToSpaceND_dyn", [In(*s, ph=(None,) * len(s))], lambda x: tf.batch_to_space_nd(x, b, k), "dynamic")
    case("SpaceToBatch", [In(1, 4, 6, 2)], lambda x: R.SpaceToBatch(input=x, paddings=[[0, 0], [1, 1]], block_size=2))
    case("BatchToSpace", [In(4, 2, 3, 2)], lambda x: R.BatchToSpace(input=x, crops=[[0, 1], [1, 1]], block_size=2))
    for k, s, r, p in [(3, 1, 1, "SAME"), (3, 2, 1, "VALID"), (2, 2, 2, "SAME"), (3, 1, 2, "VALID")]:
        case("ExtractImagePatches", [In(1, 9, 10, 2)], lambda x: R.ExtractImagePatches(images=x, ksizes=[1, k, k, 1], strides=[1, s, s, 1], rates=[1, r, r, 1], padding=p))
    case("CropAndResize", [In(2, 9, 10, 3)], lambda x: tf.image.crop_and_resize(x, c([[0, 0, 1, 1], [0.2, 0.1, 0.7, 0.9]]), c([0, 1], "i4"), [4, 5]))
    for v in ("V2", "V3", "V4", "V5"):
        def nms(b, s):
            kw = dict(boxes=b, scores=s, max_output_size=4, iou_threshold=0.5)
            if v == "V2":
                return R.NonMaxSuppressionV2(**kw)
            kw["score_threshold"] = 0.1
            if v == "V3":
                return R.NonMaxSuppressionV3(**kw)
            if v == "V4":
                return R.NonMaxSuppressionV4(**kw)[0]
            return list(R.NonMaxSuppressionV5(soft_nms_sigma=0.0, **kw)[:2])
        boxes = np.sort(np.random.RandomState(3).rand(8, 2, 2), 1).reshape(8, 4).astype("f4")
        case("NonMaxSuppression" + v, [In(8, 4), In(8, lo=0, hi=1)], nms, "dynamic", feeds=[boxes, np.linspace(0.9, 0.2, 8).astype("f4")])
    quant = [(-1.0, 1.0), (0.0, 6.0), (-0.3, 2.7), (0.5, 3.0), (-4.0, -1.0), (-10.0, 0.0)]
    for (lo, hi), bits, narrow in itertools.product(quant, (2, 4, 8, 16), (False, True)):
        case("FakeQuantWithMinMaxVars", [In(2, 3, 4, lo=-6, hi=6)], lambda x: R.FakeQuantWithMinMaxVars(inputs=x, min=lo, max=hi, num_bits=bits, narrow_range=narrow))
    for narrow in (False, True):
        case("FakeQuantWithMinMaxArgs", [In(2, 3, 4, lo=-8, hi=8)], lambda x: R.FakeQuantWithMinMaxArgs(inputs=x, min=-3.0, max=5.0, num_bits=8, narrow_range=narrow))
        case("FakeQuantWithMinMaxVarsPerChannel", [In(2, 3, 4, lo=-8, hi=8)], lambda x: R.FakeQuantWithMinMaxVarsPerChannel(inputs=x, min=c([-1, -2, 0, -3]), max=c([1, 3, 6, 0.5]), num_bits=8, narrow_range=narrow))
    case("FakeQuant_input_range", [In(2, 3, 4), In(), In()], lambda x, a, b: R.FakeQuantWithMinMaxVars(inputs=x, min=a, max=b), feeds=[np.linspace(-2, 2, 24).reshape(2, 3, 4).astype("f4"), np.float32(-1), np.float32(1.5)])
    case("preprocess", [In(1, 9, 10, 3, t="u1", lo=0, hi=255)], lambda x: tf.nn.conv2d((tf.cast(x, tf.float32)[..., ::-1] - c([103.9, 116.8, 123.7])) / 58.0, w(3, 3, 3, 4), 2, "SAME"), "blocks")
    case("preprocess_reverse", [In(1, 9, 10, 3, lo=0, hi=255)], lambda x: tf.nn.conv2d(tf.reverse(x, [-1]) - c([103.9, 116.8, 123.7]), w(3, 3, 3, 4), 2, "VALID"), "blocks")
    case("preprocess_tf", [In(1, 9, 10, 3, lo=0, hi=255)], lambda x: tf.nn.conv2d(x * (2.0 / 255) - 1.0, w(3, 3, 3, 4), 2, "SAME"), "blocks")
    case("preprocess_split", [In(1, 9, 10, 3, lo=0, hi=255)], lambda x: tf.nn.conv2d(tf.concat([b - m for b, m in zip(tf.split(x, 3, 3)[::-1], [103.9, 116.8, 123.7])], 3), w(3, 3, 3, 4), 1, "SAME"), "blocks")
    case("preprocess_resize", [In(1, 9, 10, 3, t="u1", lo=0, hi=255, ph=(1, None, None, 3))], lambda x: tf.image.resize_bilinear(tf.cast(x, tf.float32), [6, 6]) / 127.5 - 1.0, "blocks")
    case("preprocess_standardise", [In(9, 10, 3, lo=0, hi=255)], lambda x: tf.image.per_image_standardization(x), "blocks")
    case("preprocess_expand", [In(9, 10, 3, t="u1", lo=0, hi=255)], lambda x: tf.nn.conv2d(tf.expand_dims(tf.cast(x, tf.float32) / 255.0, 0), w(3, 3, 3, 4), 1, "SAME"), "blocks")
    case("rgb_to_grayscale", [In(1, 9, 10, 3)], lambda x: tf.image.rgb_to_grayscale(x), "blocks")
    case("adjust_contrast", [In(1, 9, 10, 3)], lambda x: R.AdjustContrastv2(images=x, contrast_factor=1.7))


def control():
    case("IdentityN", [In(2, 3), In(4, t="i4")], lambda x, y: [a for a in R.IdentityN(input=[x, y])])
    case("IdentityN_second", [In(2, 3), In(2, 3)], lambda x, y: R.IdentityN(input=[x, y])[1] + 1.0)
    for dflt in (True, False):
        def run(x):
            a, b = R.Switch(data=x, pred=tf.constant(dflt))
            return R.Merge(inputs=[tf.nn.relu(a), tf.nn.tanh(b)])[0] * 2.0
        case("Switch_Merge_const", [In(2, 3)], run, "patterns")
        def phd(x):
            p = tf.placeholder_with_default(dflt, [], name="phase")
            return tf.cond(p, lambda: x * 3.0, lambda: x - 1.0)
        case("cond_default", [In(2, 3)], phd, "patterns")
        def merged(x):
            a, b = R.Switch(data=x, pred=tf.constant(dflt))
            return [R.Merge(inputs=[a + 1.0, b * 2.0])[0] + 0.0, tf.cast(R.Merge(inputs=[a, b])[1], tf.float32) + 0.0]
        case("Merge_index", [In(2, 3)], merged, "patterns")
        def smart(x):
            p = tf.logical_and(tf.constant(dflt), tf.placeholder_with_default(True, [], name="phase"))
            return tf.cond(p, lambda: tf.nn.dropout(x, rate=0.0), lambda: tf.identity(x))
        case("cond_logic", [In(2, 3)], smart, "patterns")
    for s in ((2, 3), (None, 3), None):
        case("PlaceholderWithDefault", [In(2, 3)], lambda x: x + tf.placeholder_with_default(np.ones((2, 3), "f4"), s, name="d"), "patterns")
    case("PlaceholderWithDefault_scalar", [In(2, 3)], lambda x: x * tf.placeholder_with_default(2.0, [], name="d"), "patterns")
    case("keep_prob_default", [In(2, 30)], lambda x: tf.nn.dropout(x, keep_prob=tf.placeholder_with_default(1.0, [], name="keep")), "patterns")
    case("dropout_keep1", [In(2, 30)], lambda x: (x / 1.0) * tf.floor(1.0 + tf.random_uniform(tf.shape(x))), "patterns")
    case("dropout_keep1_dyn", [In(2, 30, ph=(None, 30))], lambda x: tf.nn.relu(tf.div(x, 1.0) * tf.floor(tf.random_uniform(tf.shape(x)) + 1.0)), "dynamic")
    case("Assert", [In(2, 3)], lambda x: tf.identity(x) + 1.0, "patterns")
    def asserted(x):
        with tf.control_dependencies([tf.assert_greater(tf.reduce_sum(tf.abs(x)), -1.0)]):
            return tf.identity(x) * 2.0
    case("Assert_control", [In(2, 3)], asserted, "patterns")
    def middle(x):
        a = tf.nn.conv2d(x, w(3, 3, 3, 4), 1, "SAME")
        b = tf.nn.relu(a)
        d = tf.nn.max_pool2d(b, 2, 2, "VALID")
        return [d, b, a]
    case("outputs_in_the_middle", [In(1, 6, 6, 3)], middle, "patterns")
    case("outputs_twice_through_identity", [In(2, 3)], lambda x: (lambda r: [tf.identity(r), tf.identity(r)])(tf.nn.relu(x)), "patterns")
    case("output_is_input", [In(2, 3)], lambda x: [tf.identity(x), x + 1.0], "patterns")
    case("constant_output", [In(2, 3)], lambda x: [x + 1.0, tf.constant([1.0, 2.0]) * 3.0], "patterns")
    case("two_inputs_order", [In(2, 3, name="zz"), In(2, 3, name="aa")], lambda z, a: z - a, "patterns")
    case("names_with_scopes", [In(2, 3, name="scope/sub/in")], lambda x: tf.nn.relu(x, name="scope/out"), "patterns")
    case("unused_output_of_split", [In(2, 6)], lambda x: tf.split(x, 3, 1)[1] * 2.0, "patterns")
    case("swish_mul", [In(2, 5, 5, 3)], lambda x: x * tf.sigmoid(x), "patterns")
    case("swish_mul_swapped", [In(2, 5, 5, 3)], lambda x: tf.sigmoid(x) * x, "patterns")
    for beta in (0.5, 1.0, 1.702):
        case("swish_beta", [In(2, 5)], lambda x: x * tf.sigmoid(beta * x), "patterns")
        case("swish_nn", [In(2, 5)], lambda x: tf.nn.swish(x, beta), "patterns")
    case("swish_conv", [In(1, 6, 6, 3)], lambda x: (lambda y: tf.nn.conv2d(y * tf.sigmoid(y), w(1, 1, 4, 2), 1, "SAME"))(tf.nn.bias_add(tf.nn.conv2d(x, w(3, 3, 3, 4), 1, "SAME"), w(4))), "patterns")
    for s in ((2, 5), (1, 4, 4, 3)):
        case("hswish", [In(*s, lo=-5, hi=5)], lambda x: x * tf.nn.relu6(x + 3.0) / 6.0, "patterns")
        case("hswish_mul", [In(*s, lo=-5, hi=5)], lambda x: x * (tf.nn.relu6(x + 3.0) * (1.0 / 6.0)), "patterns")
        case("hsigmoid", [In(*s, lo=-5, hi=5)], lambda x: tf.nn.relu6(x + 3.0) * 0.16666667, "patterns")
        case("hardsigmoid_keras", [In(*s, lo=-5, hi=5)], lambda x: tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0), "patterns")
        case("mish", [In(*s)], lambda x: x * tf.tanh(tf.nn.softplus(x)), "patterns")
        case("gelu_erf", [In(*s)], lambda x: 0.5 * x * (1.0 + tf.erf(x / np.sqrt(2.0).astype("f4"))), "patterns")
        case("gelu_erf2", [In(*s)], lambda x: x * 0.5 * (1.0 + tf.erf(x * 0.70710678)), "patterns")
        case("gelu_tanh", [In(*s)], lambda x: 0.5 * x * (1.0 + tf.tanh(0.7978845608 * (x + 0.044715 * tf.pow(x, 3.0)))), "patterns")
        case("softplus_manual", [In(*s)], lambda x: tf.log(tf.exp(x) + 1.0), "patterns")
        case("prelu", [In(*s)], lambda x: tf.nn.relu(x) + w(s[-1]) * (x - tf.abs(x)) * 0.5, "patterns")
        case("prelu_keras", [In(*s)], lambda x: tf.nn.relu(x) + -w(s[-1]) * tf.nn.relu(-x), "patterns")
        case("prelu_where", [In(*s)], lambda x: tf.where_v2(x > 0, x, x * w(s[-1])), "patterns")
        case("relu_max", [In(*s)], lambda x: tf.maximum(x, 0.0), "patterns")
        case("relu6_minmax", [In(*s, lo=-8, hi=8)], lambda x: tf.minimum(tf.maximum(x, 0.0), 6.0), "patterns")
        case("relu_n", [In(*s, lo=-8, hi=8)], lambda x: tf.minimum(tf.nn.relu(x), 3.0), "patterns")
        case("crelu", [In(*s)], lambda x: tf.nn.crelu(x), "patterns")
        case("celu", [In(*s)], lambda x: tf.where_v2(x > 0.0, x, 1.5 * (tf.exp(x / 1.5) - 1.0)), "patterns")
        case("maxout", [In(*s[:-1], 6)], lambda x: tf.reduce_max(tf.reshape(x, [-1 if i == 0 else d for i, d in enumerate(s[:-1])] + [3, 2]), -1), "patterns")


def conv(x, ch, k=3, s=1, p="SAME", fmt="NHWC", scale=0.3):
    ci = int(x.shape[-1])
    return tf.nn.conv2d(x, w(k, k, ci, ch, scale=scale), s, p)


def bn(x, fused=True, train=False):
    ch = int(x.shape[-1])
    r = np.random
    g, b, m, v = c(r.uniform(0.5, 1.5, ch)), c(r.uniform(-1, 1, ch)), c(r.uniform(-1, 1, ch)), c(r.uniform(0.5, 2, ch))
    if fused:
        return tf.nn.fused_batch_norm(x, g, b, m if not train else None, v if not train else None, is_training=train)[0]
    return tf.nn.batch_normalization(x, m, v, b, g, 1e-3)


def depthwise(x, k=3, s=1, m=1):
    ci = int(x.shape[-1])
    return tf.nn.depthwise_conv2d(x, w(k, k, ci, m), [1, s, s, 1], "SAME")


def blocks():
    for fused, ph in itertools.product([True, False], ["same", (None, 12, 12, 8), (None, None, None, 8)]):
        I = lambda: In(2, 12, 12, 8, ph=ph)
        def residual(x):
            y = tf.nn.relu(bn(conv(x, 4, 1), fused))
            y = tf.nn.relu(bn(conv(y, 4, 3), fused))
            return tf.nn.relu(bn(conv(y, 8, 1), fused) + x)
        case("residual", [I()], residual, "blocks")
        def down(x):
            y = tf.nn.relu(bn(conv(x, 4, 1, 2), fused))
            return tf.nn.relu(bn(conv(y, 16, 3), fused) + bn(conv(x, 16, 1, 2), fused))
        case("residual_down", [I()], down, "blocks")
        def preact(x):
            y = tf.nn.relu(bn(x, fused))
            y = conv(tf.nn.relu(bn(conv(y, 8), fused)), 8)
            return tf.nn.avg_pool2d(x + y, 2, 2, "SAME")
        case("preactivation", [I()], preact, "blocks")
        def inception(x):
            a = tf.nn.relu(bn(conv(x, 4, 1), fused))
            b = tf.nn.relu(bn(conv(conv(x, 4, 1), 6, 3), fused))
            d = conv(conv(conv(x, 3, 1), 4, 3), 4, 3)
            e = conv(tf.nn.avg_pool2d(x, 3, 1, "SAME"), 2, 1)
            return tf.concat([a, b, tf.nn.relu(d), tf.nn.relu(e), tf.nn.max_pool2d(x, 3, 1, "SAME")], 3)
        case("inception", [I()], inception, "blocks")
        def se(x):
            y = tf.reduce_mean(x, [1, 2], keepdims=True)
            y = tf.sigmoid(tf.nn.bias_add(conv(tf.nn.relu(tf.nn.bias_add(conv(y, 2, 1), w(2))), 8, 1), w(8)))
            return x * y
        case("squeeze_excite", [I()], se, "blocks")
        def se_dense(x):
            y = tf.reduce_mean(x, [1, 2])
            y = tf.sigmoid(tf.matmul(tf.nn.relu(tf.matmul(y, w(8, 2)) + w(2)), w(2, 8)) + w(8))
            return tf.nn.relu(x * tf.reshape(y, [-1, 1, 1, 8]))
        case("squeeze_excite_dense", [I()], se_dense, "blocks")
        def inverted(x):
            y = tf.nn.relu6(bn(conv(x, 16, 1), fused))
            y = tf.nn.relu6(bn(depthwise(y), fused))
            return bn(conv(y, 8, 1), fused) + x
        case("inverted_residual", [I()], inverted, "blocks")
        def mobile(x):
            y = tf.pad(x, [[0, 0], [0, 1], [0, 1], [0, 0]])
            y = tf.nn.depthwise_conv2d(y, w(3, 3, 8, 1), [1, 2, 2, 1], "VALID")
            return tf.nn.relu6(bn(conv(tf.nn.relu6(bn(y, fused)), 12, 1), fused))
        case("mobilenet", [I()], mobile, "blocks")
        def mobile3(x):
            h = lambda v: v * tf.nn.relu6(v + 3.0) * (1 / 6.0)
            y = h(bn(conv(x, 16, 1), fused))
            y = bn(depthwise(y, 5), fused)
            z = tf.reduce_mean(y, [1, 2], keepdims=True)
            z = tf.nn.relu6(conv(tf.nn.relu(conv(z, 4, 1)), 16, 1) + 3.0) / 6.0
            return bn(conv(h(y * z), 8, 1), fused) + x
        case("mobilenet3", [I()], mobile3, "blocks")
        def dense_block(x):
            for _ in range(3):
                y = conv(tf.nn.relu(bn(conv(tf.nn.relu(bn(x, fused)), 8, 1), fused)), 4)
                x = tf.concat([x, y], -1)
            return tf.nn.avg_pool2d(conv(tf.nn.relu(bn(x, fused)), 10, 1), 2, 2, "VALID")
        case("dense_block", [I()], dense_block, "blocks")
        def head(x):
            y = tf.nn.relu(bn(conv(x, 6, 3, 2), fused))
            y = tf.reduce_mean(y, [1, 2])
            return tf.nn.softmax(tf.nn.bias_add(tf.matmul(y, w(6, 10)), w(10)))
        case("head", [I()], head, "blocks")
        def head_squeeze(x):
            y = tf.nn.avg_pool2d(x, 12, 1, "VALID")
            return tf.nn.softmax(tf.squeeze(tf.nn.bias_add(conv(y, 10, 1), w(10)), [1, 2]))
        if ph == "same" or ph[1] is not None:
            case("head_squeeze", [I()], head_squeeze, "blocks")
            case("head_flatten", [I()], lambda x: tf.matmul(tf.reshape(tf.nn.relu(conv(x, 3)), [-1, 432]), w(432, 5)), "blocks")
        def unet(x):
            a = tf.nn.relu(conv(x, 6))
            b = tf.nn.relu(conv(tf.nn.max_pool2d(a, 2, 2, "SAME"), 8))
            s = tf.shape(a)
            u = tf.nn.conv2d_transpose(b, w(2, 2, 6, 8), tf.stack([s[0], s[1], s[2], 6]), [1, 2, 2, 1], "SAME")
            return tf.sigmoid(conv(tf.concat([a, u], 3), 2, 1))
        case("unet", [I()], unet, "blocks")
        def fpn(x):
            a = conv(x, 6, 3, 2)
            b = conv(a, 6, 3, 2)
            u = tf.image.resize_nearest_neighbor(conv(b, 5, 1), tf.shape(a)[1:3])
            return [tf.nn.relu(u + conv(a, 5, 1)), tf.nn.relu(b)]
        case("fpn", [I()], fpn, "blocks")
        def aspp(x):
            ys = [conv(x, 4, 1)] + [tf.nn.atrous_conv2d(x, w(3, 3, 8, 4), d, "SAME") for d in (2, 3)]
            g = tf.image.resize_bilinear(conv(tf.reduce_mean(x, [1, 2], keepdims=True), 4, 1), tf.shape(x)[1:3], align_corners=True)
            return tf.concat(ys + [g], 3)
        case("aspp", [I()], aspp, "blocks")
        def yolo(x):
            y = tf.nn.leaky_relu(bn(conv(x, 12), fused), 0.1)
            z = tf.reshape(conv(y, 14, 1), [-1, 144, 2, 7])
            return [tf.sigmoid(z[..., :2]), tf.exp(z[..., 2:4]), tf.nn.softmax(z[..., 4:])]
        case("yolo", [I()], yolo, "blocks") if ph == "same" or ph[1] else None
        def ssd(x):
            y = tf.reshape(conv(x, 12), tf.stack([tf.shape(x)[0], -1, 4]))
            z = tf.reshape(conv(conv(x, 6, 3, 2), 8), tf.stack([tf.shape(x)[0], -1, 4]))
            return tf.concat([y, z], 1)
        case("ssd_head", [I()], ssd, "blocks")
        case("lrn_pool", [I()], lambda x: tf.nn.max_pool2d(tf.nn.lrn(tf.nn.relu(conv(x, 6)), 2, 1.0, 2e-5, 0.75), 3, 2, "VALID"), "blocks")
        case("spatial_mean_concat", [I()], lambda x: tf.concat([tf.reduce_mean(conv(x, 4), [1, 2]), tf.reduce_max(conv(x, 4), [1, 2])], 1), "blocks")
        case("cbam", [I()], lambda x: x * tf.sigmoid(conv(tf.concat([tf.reduce_mean(x, 3, keepdims=True), tf.reduce_max(x, 3, keepdims=True)], 3), 1, 7)), "blocks")
        case("two_scales", [I()], lambda x: conv(x * w(8) + w(8), 5, 3) * w(5) - w(5), "blocks")
        case("scalar_chain", [I()], lambda x: ((conv(x / 3.0 - 1.0, 5, 1, p="VALID") + 2.0) * 0.5), "blocks")
        case("full_constant_add", [I()], lambda x: conv(x + w(12, 12, 8), 4) + w(12, 12, 1), "blocks") if ph == "same" or ph[1] else None
        case("pad_reduce", [I()], lambda x: tf.reduce_sum(tf.pad(conv(x, 4), [[0, 0], [2, 2], [1, 1], [0, 0]]), [1, 2]), "blocks")
        case("zero_pad_channels_shortcut", [I()], lambda x: conv(x, 12, 3, 2) + tf.pad(tf.nn.avg_pool2d(x, 2, 2, "SAME"), [[0, 0], [0, 0], [0, 0], [2, 2]]), "blocks")
        case("focus", [I()], lambda x: conv(tf.concat([x[:, ::2, ::2], x[:, 1::2, ::2], x[:, ::2, 1::2], x[:, 1::2, 1::2]], 3), 6), "blocks")
        case("split_channels", [I()], lambda x: (lambda a, b: tf.concat([tf.nn.relu(conv(a, 4)), b], 3))(*tf.split(x, 2, 3)), "blocks")
        case("transposed_to_nchw_and_back", [I()], lambda x: conv(tf.transpose(tf.nn.relu(tf.transpose(conv(x, 6), [0, 3, 1, 2])), [0, 2, 3, 1]), 3), "blocks")
        case("nchw_output", [I()], lambda x: tf.transpose(tf.nn.relu(conv(x, 6)), [0, 3, 1, 2]), "blocks")
        case("gn_conv", [I()], lambda x: tf.nn.relu(tf.reshape((lambda y: (lambda mv: (y - mv[0]) * tf.rsqrt(mv[1] + 1e-5))(tf.nn.moments(y, [1, 2, 4], keep_dims=True)))(tf.reshape(conv(x, 6), [-1, 12, 12, 2, 3])), [-1, 12, 12, 6]) * w(6) + w(6)), "blocks") if ph == "same" or ph[1] else None
        case("in_conv", [I()], lambda x: (lambda y: (lambda mv: tf.nn.batch_normalization(y, mv[0], mv[1], w(6), w(6), 1e-5))(tf.nn.moments(y, [1, 2], keep_dims=True)))(conv(x, 6)), "blocks")
        case("train_bn", [I()], lambda x: tf.nn.relu(bn(conv(x, 6), True, True)), "blocks")
        case("argmax_segmentation", [I()], lambda x: tf.argmax(tf.image.resize_bilinear(conv(x, 5), [24, 24]), 3), "blocks")
        case("multi_head", [I()], lambda x: (lambda f: [tf.nn.softmax(tf.matmul(f, w(6, 4))), tf.sigmoid(tf.matmul(f, w(6, 2))), f])(tf.reduce_mean(conv(x, 6), [1, 2])), "blocks")
    def nchw_net(x, fmt):
        ch = 3 if fmt == "NHWC" else 1
        st = lambda s: [1, s, s, 1] if fmt == "NHWC" else [1, 1, s, s]
        y = R.Conv2D(input=x, filter=w(3, 3, 4, 6), strides=st(2), padding="SAME", data_format=fmt)
        y = R.BiasAdd(value=y, bias=w(6), data_format=fmt)
        y = R.FusedBatchNormV3(x=y, scale=w(6), offset=w(6), mean=w(6), variance=c(np.random.uniform(0.5, 2, 6)), is_training=False, data_format=fmt)[0]
        y = tf.nn.relu(y)
        y = R.MaxPool(input=y, ksize=st(2), strides=st(2), padding="VALID", data_format=fmt)
        y = R.DepthwiseConv2dNative(input=y, filter=w(3, 3, 6, 1), strides=st(1), padding="SAME", data_format=fmt)
        y = tf.concat([y, R.AvgPool(value=y, ksize=st(3), strides=st(1), padding="SAME", data_format=fmt)], ch)
        return tf.matmul(tf.reduce_mean(y, [1, 2] if fmt == "NHWC" else [2, 3]), w(12, 5))
    case("nchw_net", [In(2, 4, 12, 12)], lambda x: nchw_net(x, "NCHW"), "blocks", ref=lambda x: nchw_net(nhwc(x), "NHWC"))
    case("nchw_net_dyn", [In(2, 4, 12, 12, ph=(None, 4, None, None))], lambda x: nchw_net(x, "NCHW"), "blocks", ref=lambda x: nchw_net(nhwc(x), "NHWC"))
    case("nhwc_net", [In(2, 12, 12, 4)], lambda x: nchw_net(x, "NHWC"), "blocks")
    case("keras_bn_reshape", [In(2, 6, 6, 4)], lambda x: tf.reshape(tf.reshape(w(4), [1, 1, 1, 4]) * x, [-1, 6, 6, 4]) + tf.reshape(w(4), [1, 1, 1, 4]), "blocks")
    case("mlp", [In(3, 20)], lambda x: tf.nn.softmax(tf.matmul(tf.nn.relu(tf.matmul(x, w(20, 16)) + w(16)) * w(16) + w(16), w(16, 5)) + w(5)), "blocks")
    case("mlp_bn", [In(3, 20, ph=(None, 20))], lambda x: bn(tf.matmul(bn(x, False), w(20, 16)), False), "blocks")
    case("conv3d_net", [In(1, 6, 8, 8, 2)], lambda x: tf.reduce_mean(tf.nn.relu(tf.nn.max_pool3d(tf.nn.conv3d(x, w(3, 3, 3, 2, 4), [1] * 5, "SAME") + w(4), [1, 2, 2, 2, 1], [1, 2, 2, 2, 1], "VALID")), [1, 2, 3]), "blocks")
    case("conv1d_net", [In(2, 16, 3)], lambda x: tf.reduce_max(tf.nn.relu(tf.nn.conv1d(x, w(3, 3, 6), 1, "SAME") + w(6)), 1), "blocks")
    case("conv1d_pool", [In(2, 16, 3)], lambda x: tf.squeeze(tf.nn.max_pool2d(tf.expand_dims(tf.nn.conv1d(x, w(3, 3, 6), 2, "VALID"), 1), [1, 1, 2, 1], [1, 1, 2, 1], "SAME"), [1]), "blocks")
    case("triplet_embedding", [In(3, 6, 6, 2)], lambda x: tf.nn.l2_normalize(tf.matmul(tf.reshape(conv(x, 4), [3, -1]), w(144, 8)), 1), "blocks")
    case("pixel_shuffle_net", [In(1, 6, 7, 3)], lambda x: tf.depth_to_space(conv(tf.nn.relu(conv(x, 8)), 12), 2), "blocks")
    case("nlp_embedding", [In(2, 7, t="i4", lo=0, hi=30)], lambda x: tf.reduce_mean(tf.nn.relu(tf.nn.conv1d(tf.gather(w(30, 8), x), w(3, 8, 4), 1, "SAME")), 1), "blocks")


def variables():
    def net(x, resource, scope=""):
        with tf.variable_scope(scope or "net", use_resource=resource):
            k = tf.get_variable("kernel", [3, 3, 3, 4])
            b = tf.get_variable("bias", [4], initializer=tf.random_uniform_initializer(-1, 1))
            g = tf.get_variable("gamma", [4], initializer=tf.random_uniform_initializer(0.5, 1))
            y = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, k, 1, "SAME"), b))
            y, _, _ = tf.nn.fused_batch_norm(y, g, b, b * 0.5, g + 1.0, is_training=False)
            d = tf.get_variable("dense", [4, 5])
            return tf.nn.softmax(tf.matmul(tf.reduce_mean(y, [1, 2]), d))
    def keras(x):
        import tensorflow.compat.v1.keras as K
        K.backend.set_learning_phase(0)
        y = K.layers.Conv2D(4, 3, padding="same")(x)
        y = K.layers.BatchNormalization()(y)
        y = K.layers.Dropout(0.3)(K.layers.Activation("relu")(y))
        y = K.layers.Flatten()(K.layers.MaxPooling2D()(y))
        return K.layers.Dense(5, activation="softmax")(y)
    def layers(x):
        y = tf.layers.conv2d(x, 4, 3, padding="same", activation=tf.nn.relu)
        y = tf.layers.batch_normalization(y, training=tf.placeholder_with_default(False, [], name="phase"))
        y = tf.layers.dropout(y, 0.5, training=tf.constant(False))
        y = tf.layers.separable_conv2d(y, 6, 3, depth_multiplier=2)
        return tf.layers.dense(tf.layers.flatten(tf.layers.max_pooling2d(y, 2, 2)), 5)
    def partitioned(x):
        v = tf.get_variable("part", [48, 5], partitioner=tf.fixed_size_partitioner(3), use_resource=False)
        return tf.matmul(tf.reshape(x, [-1, 48]), tf.convert_to_tensor(v))
    def training(x):
        y = net(x, False)
        v = tf.trainable_variables()
        tf.train.MomentumOptimizer(0.1, 0.9).minimize(tf.reduce_mean(y))
        return y
    def scalars(x):
        a = tf.get_variable("a", [], initializer=tf.constant_initializer(2.5))
        n = tf.get_variable("n", [], dtype=tf.int32, initializer=tf.constant_initializer(3), trainable=False)
        return x * a + tf.cast(n, tf.float32)
    def in_loop(x):
        t = tf.get_variable("table", [9, 4], use_resource=True)
        return tf.nn.embedding_lookup(t, tf.cast(tf.abs(x[:, 0, 0, 0]), tf.int32))
    for form in ("frozen", "ckpt", "meta"):
        case("variables_ref", [In(2, 6, 6, 3)], lambda x: net(x, False), "variables", form=form)
        case("variables_resource", [In(2, 6, 6, 3)], lambda x: net(x, True), "variables", form=form)
        case("variables_dyn", [In(2, 6, 6, 3, ph=(None, None, None, 3))], lambda x: net(x, True), "variables", form=form)
        case("variables_layers", [In(2, 6, 6, 3, ph=(None, 6, 6, 3))], layers, "variables", form=form)
        case("variables_training", [In(2, 6, 6, 3)], training, "variables", form=form)
        case("variables_scalars", [In(2, 3)], scalars, "variables", form=form)
        case("variables_embedding", [In(2, 6, 6, 3)], in_loop, "variables", form=form)
        if form != "frozen":
            case("variables_partitioned", [In(2, 4, 4, 3)], partitioned, "variables", form=form)


TYPES = {"f32": "f4", "f16": "f2", "f64": "f8", "i32": "i4", "i64": "i8", "i8": "i1", "u8": "u1", "boolean": "b1"}


def fixture():
    """The graphs of fixtures/tf_ops, whose form make_tf_ops.py describes."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../fixtures/tf_ops")
    blob = open(os.path.join(here, "cases.bin"), "rb").read()
    at = 0

    def take(n):
        nonlocal at
        at += n
        return blob[at - n : at]

    def tensor(t, s):
        shape = [int(d) for d in s.split(",") if d]
        dtype = np.dtype(TYPES.get(t, t))
        return np.frombuffer(take(int(np.prod(shape, dtype=int)) * dtype.itemsize), dtype).reshape(shape)

    for line in open(os.path.join(here, "cases.txt")):
        name, outs, length, ins, answers = line.rstrip("\n").split("\t")
        folder = os.path.join(ARGS.out, "fixture", re.sub(r"[^A-Za-z0-9_.-]+", "_", name))
        os.makedirs(folder, exist_ok=True)
        model = take(int(length))
        ins = [p.split(":") for p in ins.split(";") if p]
        inputs = {n: tensor(t, s) for n, t, s in ins}
        expected = {n: tensor(*p.split(":")) for n, p in zip(outs.split(","), answers.split(";"))}
        open(os.path.join(folder, "model.pb"), "wb").write(model)
        np.savez(os.path.join(folder, "inputs.npz"), **inputs)
        np.savez(os.path.join(folder, "expected.npz"), **expected)
        half = any(a.dtype == np.float16 for a in [*inputs.values(), *expected.values()])
        tol = 1e-2 if half else 1e-4
        describe = lambda n, a: {"name": n, "dtype": str(a.dtype), "shape": list(a.shape)}
        meta = {"name": name, "suite": "fixture", "framework": "tf", "form": "frozen", "model": "model.pb", "ops": [], "control_flow": "none",
                "inputs": [describe(n, a) for n, a in inputs.items()],
                "outputs": [{**describe(n, a), "rtol": tol, "atol": tol / 10 * max(1.0, absmax(a))} for n, a in expected.items()],
                "outputs_are_leaves": False, "compare": "value"}
        with open(os.path.join(folder, "meta.json"), "w") as f:
            json.dump(meta, f, indent=1)


def main():
    global ARGS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--only", help="cases whose name matches")
    parser.add_argument("--family", help="only these families, comma separated")
    parser.add_argument("--fixture", action="store_true", help="write only the graphs of fixtures/tf_ops")
    ARGS = parser.parse_args()
    if ARGS.fixture:
        return fixture()
    for family in [f for f in (unary, binary, convolutions, normalisation, products, reductions, shapes, images, control, blocks, variables) if not ARGS.family or f.__name__ in ARGS.family.split(",")]:
        family()
        print(f"{family.__name__}: {sum(v + 1 for v in COUNT.values())} cases so far, TensorFlow refused {len(SKIPPED)}", file=sys.stderr)
    with open(os.path.join(ARGS.out, "refused.txt"), "w") as f:
        f.write("\n".join(SKIPPED))


if __name__ == "__main__":
    main()
