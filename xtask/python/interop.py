"""Runs OpenVINO (f32 arithmetic) for `cargo xtask interop`; turns.py is for the benches.

    interop.py infer MODEL.xml IN.npz OUT.npz
    interop.py convert FROZEN.pb OUT.xml [--fp16] [--shape 1,224,224,3] [--ir-version 10]
    interop.py compare OUT.npz EXPECTED.npz    prints max abs error / max abs output; fails on another top class
    interop.py zoo FOLDER            every <name>_frozen.pb -> FOLDER/ov/<name>_fp32.xml and _fp16.xml

`infer` takes what the .npz holds under an input's name (with or without `:0`); further arrays are left alone. With no
such name and as many arrays as inputs, they are taken in order. Outputs are written under their first tensor name
without `:0`, or else the name of the node that feeds the Result.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import openvino as ov

ACCURATE = {"INFERENCE_PRECISION_HINT": "f32"}


def plain(name):
    return name.removesuffix(":0")


def port_names(port):
    """Every name that a person might call this port, the framework's first."""
    node = port.get_node()
    if node.get_type_name() == "Result":
        node = node.input_value(0).get_node()
    return [plain(n) for n in sorted(port.get_names(), key=len)] + [node.get_friendly_name()]


def feed(inputs, path):
    with np.load(path) as arrays:
        held = {plain(key): arrays[key] for key in arrays.files}
    named = [next((held[n] for n in port_names(port) if n in held), None) for port in inputs]
    if all(array is not None for array in named):
        return named
    if len(held) == len(inputs):
        return list(held.values())
    wanted = [port_names(port) for port in inputs]
    sys.exit(f"{path}: holds {sorted(held)}, the model's inputs are {wanted}")


def infer(args):
    model = ov.Core().compile_model(args.model, "CPU", {**ACCURATE, "INFERENCE_NUM_THREADS": args.threads})
    results = model(feed(model.inputs, args.inputs))
    np.savez(args.outputs, **{port_names(port)[0]: results[port] for port in model.outputs})


def convert(model, xml, fp16=False, shape=None, ir_version=None):
    if shape:
        # The one true input, kept under its name; without a name OpenVINO takes the only placeholder.
        converted = ov.convert_model(model, input=ov.PartialShape(shape))
    else:
        converted = ov.convert_model(model)
    Path(xml).parent.mkdir(parents=True, exist_ok=True)
    if ir_version:
        ov.serialize(converted, str(xml), str(Path(xml).with_suffix(".bin")), f"IR_V{ir_version}")
    else:
        ov.save_model(converted, str(xml), compress_to_fp16=fp16)


def like(want, got):
    """The rows of `got` (image, class, confidence, box) in the order of `want`, each as near as any that is left:
    frameworks sort detections differently, and close confidences change places."""
    want, left, rows = want.reshape(-1, 7), list(got.reshape(-1, 7)), []
    for row in want:
        rows.append(left.pop(int(np.argmin([np.abs(row - other).max() for other in left]))))
    return np.array(rows).reshape(got.shape)


def compare(args):
    with np.load(args.found) as found, np.load(args.expected) as expected:
        worst = 0.0
        for key in found.files:
            name = next(n for n in (key, plain(key)) if n in expected.files)
            want, got = expected[name], found[key]
            if want.shape != got.shape:
                sys.exit(f"{name}: shape {got.shape}, expected {want.shape}")
            if want.shape[:2] == (1, 1) and want.shape[-1] == 7:
                got = like(want, got)
            if (want.argmax(-1) != got.argmax(-1)).any():
                sys.exit(f"{name}: another top class in {(want.argmax(-1) != got.argmax(-1)).sum()} rows")
            worst = max(worst, float(np.abs(want - got).max() / np.abs(want).max()))
    print(worst)


def zoo(args):
    for about in sorted(args.folder.glob("*.json")):
        facts = json.loads(about.read_text())
        for precision in ("fp32", "fp16"):
            xml = args.folder / "ov" / f"{facts['name']}_{precision}.xml"
            if not xml.exists():
                # In a process of its own each, so that memory stays that of one network.
                child = os.fork()
                if child == 0:
                    convert(args.folder / f"{facts['name']}_frozen.pb", xml, precision == "fp16", facts["shape"])
                    os._exit(0)
                if os.waitpid(child, 0)[1]:
                    sys.exit(f"{facts['name']}: not converted")
            print(xml)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("infer")
    command.add_argument("model")
    command.add_argument("inputs")
    command.add_argument("outputs")
    command.add_argument("--threads", type=int, default=1)
    command.set_defaults(run=infer)
    command = commands.add_parser("convert")
    command.add_argument("model")
    command.add_argument("xml")
    command.add_argument("--fp16", action="store_true")
    command.add_argument("--shape", type=lambda text: [int(d) for d in text.split(",")])
    command.add_argument("--ir-version", choices=("10", "11"), help="serialize as it is, in this version")
    command.set_defaults(run=lambda a: convert(a.model, a.xml, a.fp16, a.shape, a.ir_version))
    command = commands.add_parser("compare")
    command.add_argument("found")
    command.add_argument("expected")
    command.set_defaults(run=compare)
    command = commands.add_parser("zoo")
    command.add_argument("folder", type=Path)
    command.set_defaults(run=zoo)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
