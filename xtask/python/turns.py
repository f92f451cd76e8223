"""A peer's side of `cargo xtask bench`, in f32; benches/src/bin/turns.rs is Terroir's.

    turns.py openvino MODEL.xml --inputs IN.npz [--threads N] [--streams N] [--profile] [--batch N] [--side N]
    turns.py onnxruntime MODEL.onnx ...
    turns.py onnx FROZEN.pb OUT.onnx      makes the ONNX file (TensorFlow's Python, tf2onnx on PYTHONPATH)

Loads the network, infers once and prints a line of JSON: versions, milliseconds from before the model is read until
it is read, compiled, and has answered, and megabytes before that. Then, for every line of input, a number of seconds:
infers so long (three times at least) and prints the milliseconds of each inference, or with several streams those per
image. At the end of the input, the peak of memory and, with --profile, the layers' median microseconds.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections import defaultdict

import numpy as np


def megabytes(field):
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(field))
    return int(line.split()[1]) / 1024


def plain(name):
    return name.removesuffix(":0")


def shaped(shape, args):
    """The shape with the batch and the side of the image (NHWC) that were asked for."""
    shape = list(shape)
    if args.batch:
        shape[0] = args.batch
    if args.side:
        shape[1] = shape[2] = args.side
    return shape


def load_inputs(args):
    """All arrays by name; random ones where another shape is asked for."""
    with np.load(args.inputs) as arrays:
        held = {plain(key): arrays[key] for key in arrays.files}
    if args.batch or args.side:
        rng = np.random.default_rng(0)
        held = {k: rng.uniform(0, 1, shaped(v.shape, args)).astype(v.dtype) if v.ndim == 4 else v for k, v in held.items()}
    return held


class OpenVino:
    def __init__(self, args):
        import openvino as ov

        self.ov, self.args, self.version = ov, args, "OpenVINO " + ov.__version__.split("-")[0]
        self.times = defaultdict(list)

    def read(self, held):
        self.model = self.ov.Core().read_model(self.args.model)
        wanted = [next(held[plain(n)] for n in p.get_names() if plain(n) in held) for p in self.model.inputs]
        self.model.reshape({p: list(a.shape) for p, a in zip(self.model.inputs, wanted)})
        return wanted

    def compile(self):
        streams = self.args.streams
        self.compiled = self.ov.Core().compile_model(self.model, "CPU", {
            "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": self.args.threads, "NUM_STREAMS": streams,
            "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT", "ENABLE_CPU_PINNING": False,
            "PERF_COUNT": self.args.profile,
        })
        del self.model

    def first(self, wanted):
        if self.args.streams > 1:
            self.queue = self.ov.AsyncInferQueue(self.compiled, self.args.streams)
            for request in self.queue:
                for port, array in zip(self.compiled.inputs, wanted):
                    request.set_tensor(port, self.ov.Tensor(array))
        self.request = self.compiled.create_infer_request()
        self.request.infer(wanted)

    def infer(self):
        self.request.infer()
        if self.args.profile:
            for row in self.request.get_profiling_info():
                if row.status == self.ov.ProfilingInfo.Status.EXECUTED:
                    self.times[row.node_name, row.node_type, row.exec_type].append(row.real_time.total_seconds() * 1e6)

    def start_one(self):
        self.queue.start_async()

    def finish(self):
        self.queue.wait_all()

    def layers(self):
        originals = {
            op.get_friendly_name(): op.get_rt_info()["originalLayersNames"].astype(str).split(",")
            for op in self.compiled.get_runtime_model().get_ordered_ops()
        }
        return [
            {"name": name, "type": kind, "exec": exec_, "us": statistics.median(us), "of": originals.get(name, [])}
            for (name, kind, exec_), us in self.times.items()
        ]


class OnnxRuntime:
    def __init__(self, args):
        import onnxruntime

        self.ort, self.args, self.version = onnxruntime, args, "ONNX Runtime " + onnxruntime.__version__

    def read(self, held):
        return held

    def compile(self):
        options = self.ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.args.threads, 1
        self.session = self.ort.InferenceSession(self.args.model, options, providers=["CPUExecutionProvider"])

    def first(self, held):
        self.feed = {i.name: held[plain(i.name)] for i in self.session.get_inputs()}
        self.infer()

    def infer(self):
        self.session.run(None, self.feed)

    def layers(self):
        return []


def turn(peer, seconds):
    begin = time.perf_counter()
    finish, times = begin + seconds, []
    if peer.args.streams > 1:
        count = 0
        while count < 3 or time.perf_counter() < finish:
            peer.start_one()
            count += 1
        peer.finish()
        return [1e3 * (time.perf_counter() - begin) / count]
    while len(times) < 3 or time.perf_counter() < finish:
        begin = time.perf_counter()
        peer.infer()
        times.append(1e3 * (time.perf_counter() - begin))
    return times


def serve(args):
    peer = {"openvino": OpenVino, "onnxruntime": OnnxRuntime}[args.engine](args)
    held = load_inputs(args)
    before = megabytes("VmRSS")
    marks = [time.perf_counter()]
    wanted = peer.read(held)
    marks.append(time.perf_counter())
    peer.compile()
    marks.append(time.perf_counter())
    peer.first(wanted)
    marks.append(time.perf_counter())
    read, compiled, first = (1e3 * (b - a) for a, b in zip(marks, marks[1:]))
    print(json.dumps({"engine": peer.version, "read_ms": read, "compile_ms": compiled, "first_ms": first,
                      "before_mb": before}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"ms": [round(t, 4) for t in turn(peer, float(line))]}), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mb": peak, "layers": peer.layers()}), flush=True)


def make_onnx(frozen, out):
    import os

    os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["CUDA_VISIBLE_DEVICES"] = "3", ""
    import tensorflow as tf
    import tf2onnx

    graph = tf.compat.v1.GraphDef()
    with open(frozen, "rb") as file:
        graph.ParseFromString(file.read())
    inputs = [node.name + ":0" for node in graph.node if node.op == "Placeholder"]
    read = {name.split(":")[0].lstrip("^") for node in graph.node for name in node.input}
    outputs = [node.name + ":0" for node in graph.node if node.name not in read]
    tf2onnx.convert.from_graph_def(graph, input_names=inputs, output_names=outputs, opset=17, output_path=out + ".part")
    os.rename(out + ".part", out)


def main():
    if sys.argv[1:2] == ["onnx"]:
        return make_onnx(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=("openvino", "onnxruntime"))
    parser.add_argument("model")
    parser.add_argument("--inputs", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--side", type=int)
    serve(parser.parse_args())


if __name__ == "__main__":
    main()
