"""Loads a frozen GraphDef with TensorFlow itself, runs it, and compares with what is expected.

    tf_check.py FROZEN.pb DATA.npz [--output predictions/Softmax]... [--tolerance 1e-5]

The .npz holds inputs and expected outputs by name; what names a Placeholder of the graph is an input, what else names a
node is an output (or those given by --output). Prints max |error| / max |output| for each; exit 1 when one is above the
tolerance or when the graph still holds variables.
"""

import argparse
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph")
    parser.add_argument("data")
    parser.add_argument("--output", action="append")
    parser.add_argument("--tolerance", type=float, default=1e-5)
    args = parser.parse_args()

    definition = tf.compat.v1.GraphDef()
    with open(args.graph, "rb") as file:
        definition.ParseFromString(file.read())
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(definition, name="")
    ops = {node.name: node.op for node in definition.node}
    left = sorted(n for n, op in ops.items() if op in ("VariableV2", "Variable", "VarHandleOp"))
    if left:
        sys.exit(f"{args.graph}: still holds variables: {left}")
    with np.load(args.data) as arrays:
        data = {key.removesuffix(":0"): arrays[key] for key in arrays.files}
    feeds = {f"{n}:0": a for n, a in data.items() if ops.get(n, "").startswith("Placeholder")}
    outputs = args.output or [n for n in data if n in ops and f"{n}:0" not in feeds]
    if not outputs or not feeds:
        sys.exit(f"{args.data}: holds {sorted(data)}: no input or no output of {args.graph}")
    failed = False
    with tf.compat.v1.Session(graph=graph) as session:
        for name, got in zip(outputs, session.run([f"{n}:0" for n in outputs], feeds)):
            want = data[name]
            error = np.abs(got - want).max() / np.abs(want).max() if got.shape == want.shape else np.inf
            print(f"{name}: {error:.3g} {got.shape}")
            failed |= not error <= args.tolerance
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
