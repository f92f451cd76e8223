"""Makes, once, the environments that zoo and interop need, inside a cache folder:

    environments.py CACHE [tf] [ov] [cv] [netron] [tf2onnx]      (all by default)

`CACHE/tf/bin/python` runs zoo.py, tf_check.py and fixtures/digits/make_digits.py; `CACHE/ov/bin/python` runs interop.py;
`CACHE/cv/bin/python` runs classics.py and fixtures/caffe_ops/make_caffe_ops.py;
`CACHE/netron/netron` is what netron_check.mjs opens; `CACHE/tf2onnx`, on PYTHONPATH beside tf, makes ONNX files.
An environment that was made with the same packages is left alone.
Run by any Python from 3.9 to 3.11 (TensorFlow 2.15 has no wheels for later ones).
"""

import argparse
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PACKAGES = {
    "tf": ["tensorflow-cpu==2.15.1", "protobuf<5", "numpy<2", "scikit-learn", "pillow"],
    "ov": ["openvino==2026.4.1", "onnxruntime", "numpy<2.3"],
    "cv": ["opencv-python-headless==4.10.0.84", "numpy<2"],
    "netron": ["netron==9.3.3"],
    "tf2onnx": ["tf2onnx==1.17.0", "onnx==1.16.2"],
}


def make(cache, name):
    folder, packages = cache / name, PACKAGES[name]
    mark = folder / "packages.txt"
    wanted = "\n".join(packages) + "\n"
    if mark.exists() and mark.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    if name in ("netron", "tf2onnx"):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    else:
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *packages], check=True)
    mark.write_text(wanted)
    print(f"made {folder}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PACKAGES))
    args = parser.parse_args()
    unknown = set(args.names) - set(PACKAGES)
    if unknown:
        parser.error(f"no such environment: {sorted(unknown)}; there are {list(PACKAGES)}")
    names = args.names or list(PACKAGES)
    if "tf" in names and not (3, 9) <= sys.version_info[:2] <= (3, 11):
        sys.exit(f"TensorFlow 2.15 needs Python 3.9 to 3.11, this is {sys.version.split()[0]}")
    args.cache.mkdir(parents=True, exist_ok=True)
    for name in names:
        make(args.cache, name)


if __name__ == "__main__":
    main()
