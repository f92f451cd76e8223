"""Builds Keras networks with seeded weights into a folder: frozen, and as graph + sharded checkpoint.

Per network: `<name>_frozen.pb`, `<name>_graph.pb`, `<name>.ckpt.*`, `<name>.npz` (input and TensorFlow's output,
by name) and, written last, `<name>.json` (name, input, output, shape, figures on the output). A network whose
.json is there is skipped. Each is built in processes of its own: one eager, which makes the weights, one in graph
mode, which exports by the flow of 2018 (learning phase 0, reference variables, write_graph, Saver(sharded=True)).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

SEED = 20180612
OUTPUT = "predictions/Softmax"
LOGITS_SPREAD = 2.0

# name: class in tf.keras.applications, side, value range that its users feed
ZOO = {
    "resnet50": ("ResNet50", 224, (-128, 127)),
    "mobilenet": ("MobileNet", 224, (-1, 1)),
    "mobilenet_v2": ("MobileNetV2", 224, (-1, 1)),
    "inception_v3": ("InceptionV3", 299, (-1, 1)),
    "vgg16": ("VGG16", 224, (-128, 127)),
    "densenet121": ("DenseNet121", 224, (-2, 2)),
    "efficientnet_b0": ("EfficientNetB0", 224, (0, 255)),
}


def images(name, count, seed):
    """Smooth coloured noise at several scales, which has a photograph's falling spectrum."""
    import numpy as np

    _, side, (low, high) = ZOO[name]
    rng = np.random.default_rng(seed)
    total = np.zeros((count, side, side, 3))
    cells = 3
    while cells < side:
        coarse = rng.normal(0, 1, (count, cells + 1, cells + 1, 3))
        at = np.linspace(0, cells, side, endpoint=False)
        whole, part = at.astype(int), at % 1
        rows = coarse[:, whole] * (1 - part)[None, :, None, None] + coarse[:, whole + 1] * part[None, :, None, None]
        total += (rows[:, :, whole] * (1 - part)[None, None, :, None]
                  + rows[:, :, whole + 1] * part[None, None, :, None]) / cells**0.5
        cells *= 3
    total = (total - total.min((1, 2, 3), keepdims=True)) / np.ptp(total, (1, 2, 3), keepdims=True)
    return (low + total * (high - low)).astype(np.float32)


def make_weights(name, scratch):
    """He-scaled kernels; batch-norm statistics as the network has them on images, then disturbed."""
    import numpy as np
    import tensorflow as tf

    tf.keras.utils.set_random_seed(SEED)
    rng = np.random.default_rng(SEED)
    model = getattr(tf.keras.applications, ZOO[name][0])(weights=None)
    last = None
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            gamma, beta = layer.gamma, layer.beta
            if gamma is not None:
                gamma.assign(rng.uniform(0.7, 1.3, gamma.shape))
            # Above zero: batch norm into a ReLU around zero amplifies every rounding error by a fifth a layer.
            beta.assign(rng.normal(0.7, 0.2, beta.shape))
            layer.momentum = 0.0
        elif isinstance(layer, (tf.keras.layers.Conv2D, tf.keras.layers.Dense)):
            depthwise = isinstance(layer, tf.keras.layers.DepthwiseConv2D)
            kernel = layer.depthwise_kernel if depthwise else layer.kernel
            fan_in = np.prod(kernel.shape[:2] if depthwise else kernel.shape[:-1])
            kernel.assign(rng.normal(0, (2.0 / fan_in) ** 0.5, kernel.shape))
            if layer.use_bias:
                layer.bias.assign(rng.normal(0, 0.05, layer.bias.shape))
            last = layer if not depthwise else last
    model(images(name, 4, SEED + 1), training=True)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            mean, variance = layer.moving_mean.numpy(), np.maximum(layer.moving_variance.numpy(), 1e-2)
            layer.moving_mean.assign(mean + rng.normal(0, 0.1, mean.shape) * variance**0.5)
            layer.moving_variance.assign(variance * rng.uniform(0.8, 1.25, variance.shape))
    # The spread of the logits decides whether the answer says anything: neither uniform nor one-hot.
    shown = images(name, 1, SEED + 2)
    logits = np.log(np.maximum(model(shown, training=False).numpy(), 1e-37))
    for _ in range(6):
        spread = logits.std()
        last.kernel.assign(last.kernel * (LOGITS_SPREAD / spread))
        logits = np.log(np.maximum(model(shown, training=False).numpy(), 1e-37))
    # A close runner-up would make top-1 under FP16 a matter of luck.
    second, first = np.sort(logits.ravel())[-2:]
    if first - second < 0.2:
        last.bias.assign(last.bias + 0.3 * (np.arange(logits.size) == logits.argmax()))
    weights = model.get_weights()
    for weight in weights:
        if not np.isfinite(weight).all():
            raise SystemExit(f"{name}: weights are not finite")
    np.savez(scratch / f"{name}.weights.npz", *weights)


def export(name, scratch, out):
    """The user's flow of 2018, then TensorFlow's convert_variables_to_constants."""
    import numpy as np
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.disable_v2_behavior()
    v1.logging.set_verbosity(v1.logging.ERROR)
    random.seed(SEED)
    np.random.seed(SEED)
    v1.set_random_seed(SEED)

    def create(next_creator, **how):
        """A reference variable; about half of them on a named device, so that the sharded save has two shards."""
        with tf.device(random.choice(("/cpu:0", None))):
            return next_creator(**{**how, "use_resource": False})

    backend = v1.keras.backend
    backend.set_learning_phase(0)
    with v1.variable_creator_scope(create):
        model = getattr(tf.keras.applications, ZOO[name][0])(weights=None)
    with np.load(scratch / f"{name}.weights.npz") as saved:
        model.set_weights([saved[f"arr_{i}"] for i in range(len(saved.files))])
    session = backend.get_session()
    graph_def = session.graph.as_graph_def()
    entry = model.inputs[0].op.name
    shown = images(name, 1, SEED + 2)
    probabilities, others = (
        session.run(f"{OUTPUT}:0", {f"{entry}:0": image}) for image in (shown, images(name, 1, SEED + 3))
    )
    figures = check(name, probabilities, others)

    tf.io.write_graph(graph_def, str(out), f"{name}_graph.pb", as_text=False)
    v1.train.Saver(sharded=True, save_relative_paths=True).save(
        session, str(out / f"{name}.ckpt"), latest_filename=f"{name}.checkpoint")
    frozen = v1.graph_util.convert_variables_to_constants(session, graph_def, [OUTPUT])
    tf.io.write_graph(frozen, str(out), f"{name}_frozen.pb", as_text=False)
    np.savez(out / f"{name}.npz", **{entry: shown, OUTPUT: probabilities})
    about = {"name": name, "input": entry, "output": OUTPUT, "shape": list(shown.shape), **figures}
    (out / f"{name}.json").write_text(json.dumps(about, indent=1) + "\n")
    print(json.dumps(about))


def check(name, probabilities, others):
    """Refuses an output that would hide errors: saturated, flat, deaf to the image, or with a doubtful winner."""
    import numpy as np

    logits = np.log(probabilities[0].astype(np.float64))
    second, first = np.sort(logits)[-2:]
    figures = {
        "top1": int(logits.argmax()), "probability": round(float(np.exp(first)), 4),
        "margin": round(float(first - second), 4), "logits_std": round(float(logits.std()), 3),
        "other_image": round(float(np.abs(probabilities - others).max() / probabilities.max()), 3),
    }
    sound = 0.01 < figures["probability"] < 0.9 and figures["margin"] > 0.05 and 1 < figures["logits_std"] < 4
    if not (sound and figures["other_image"] > 0.05):
        raise SystemExit(f"{name}: output is badly conditioned: {figures}")
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=ZOO, action="append", help="this network alone (may be repeated)")
    parser.add_argument("--stage", choices=("weights", "export"), help="one stage of one network (used by the script itself)")
    parser.add_argument("--scratch", type=Path, help="where the stages hand over the weights")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.stage:
        make_weights(args.only[0], args.scratch) if args.stage == "weights" else export(args.only[0], args.scratch, args.out)
        return
    for name in args.only or ZOO:
        if (args.out / f"{name}.json").exists():
            print(f"{name}: already there")
            continue
        with tempfile.TemporaryDirectory(dir=args.out) as scratch:
            for stage in ("weights", "export"):
                command = [sys.executable, __file__, str(args.out), "--only", name, "--stage", stage, "--scratch", scratch]
                subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
