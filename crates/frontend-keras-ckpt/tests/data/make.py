"""Writes the checkpoints of this folder with TensorFlow 2.15, and what TensorFlow reads from them and from fixtures/.

    python make.py

expected.json: by checkpoint (path from the repository's root) and key, the type, the shape and the FNV-1a hash of the
little-endian bytes; of strings the strings themselves, in
hexadecimal; the full name where an object graph gives one.
"""
import json
import os
import shutil

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "../../../.."))
tf1 = tf.compat.v1
TYPES = "float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool float16 bfloat16 complex64".split()
NAMES = ("v1", "v2", "grid", "slots")
NOT_IN_V1 = ("uint16", "uint32", "uint64", "bfloat16", "complex64")


def write_types(folder, version):
    """Every element type, and shapes at the edge."""
    os.makedirs(folder)
    rng = np.random.default_rng(version)
    with tf.Graph().as_default(), tf1.Session() as session:
        for name in TYPES:
            if version == 1 and name in NOT_IN_V1:
                continue
            low, high = (0, 2) if name == "bool" else (0, 100) if name[0] == "u" else (-100, 100)
            value = tf.cast(tf.constant(rng.integers(low, high, size=(2, 3))), name)
            tf1.get_variable(f"types/{name}", initializer=value, use_resource=False)
        tf1.get_variable("scalar", initializer=tf.constant(3.5))
        tf1.get_variable("empty", initializer=tf.zeros((0, 3)))
        if version == 2:
            tf1.get_variable("strings", initializer=tf.constant([[b"a", b""], [b"\xff\0", b"long" * 50]]))
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver(write_version=version).save(session, f"{folder}/m.ckpt", write_meta_graph=False, write_state=False)


def write_grid(folder):
    """A tensor cut along two dimensions, in slices of different sizes."""
    os.makedirs(folder)
    whole = np.arange(2 * 4 * 6, dtype=np.int32).reshape(2, 4, 6)
    cuts = [(0, 1, 0, 6), (1, 3, 0, 2), (1, 3, 2, 4)]
    tf.raw_ops.SaveV2(
        prefix=f"{folder}/m.ckpt",
        tensor_names=["grid"] * len(cuts),
        shape_and_slices=[f"2 4 6 -:{a},{n}:{b},{m}" for a, n, b, m in cuts],
        tensors=[tf.constant(whole[:, a : a + n, b : b + m]) for a, n, b, m in cuts],
    )


def write_slots(folder):
    """An optimizer of old, whose slots are variables of the object graph."""
    tf.keras.utils.set_random_seed(1)
    model = tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(3,))])
    model.compile(tf.keras.optimizers.legacy.SGD(momentum=0.9), "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(f"{folder}/m.ckpt")


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return f"{value:016x}"


def read(path):
    reader, entries = tf.train.load_checkpoint(path), {}
    for key, shape in reader.get_variable_to_shape_map().items():
        dtype = reader.get_variable_to_dtype_map()[key]
        try:
            value = reader.get_tensor(key)
        except tf.errors.UnimplementedError:  # Some types of version 1, which the operation reads.
            value = tf.raw_ops.Restore(file_pattern=path, tensor_name=key, dt=dtype).numpy()
        if dtype == tf.string:
            data = [v.hex() for v in np.asarray(value, dtype=object).ravel()]
        else:
            data = fnv1a(np.asarray(value).tobytes())
        entries[key] = {"type": tf.dtypes.as_dtype(dtype).name, "shape": shape, "data": data}
    if "_CHECKPOINTABLE_OBJECT_GRAPH" in entries:
        graph = TrackableObjectGraph.FromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        for attribute in (a for node in graph.nodes for a in node.attributes if a.full_name):
            entries[attribute.checkpoint_key]["full_name"] = attribute.full_name
    return dict(sorted(entries.items()))


for name in NAMES:
    shutil.rmtree(os.path.join(HERE, name), ignore_errors=True)
write_types(os.path.join(HERE, "v1"), 1)
write_types(os.path.join(HERE, "v2"), 2)
write_grid(os.path.join(HERE, "grid"))
write_slots(os.path.join(HERE, "slots"))
data = os.path.relpath(HERE, ROOT)
checkpoints = [f"{data}/{name}/m.ckpt" for name in NAMES] + [
    "fixtures/digits/digits.ckpt",
    "fixtures/digits/v1/digits_v1.ckpt",
    "fixtures/digits/v1/digits_v1_sharded.ckpt-?????-of-?????",
    "fixtures/digits/tf2/digits_tf2-1",
    "fixtures/digits/tf2/digits_weights",
    "fixtures/partitioned/partitioned.ckpt",
    "fixtures/partitioned/partitioned_v1.ckpt-?????-of-?????",
]
expected = {path: read(os.path.join(ROOT, path)) for path in checkpoints}
with open(os.path.join(HERE, "expected.json"), "w") as file:
    file.write("{\n")
    for i, (path, entries) in enumerate(expected.items()):
        lines = [f"  {json.dumps(key)}: {json.dumps(entry)}" for key, entry in entries.items()]
        file.write(f" {json.dumps(path)}: {{\n" + ",\n".join(lines) + "\n }" + ",\n" * (i + 1 < len(expected)))
    file.write("\n}\n")
print({name: len(entries) for name, entries in expected.items()})
