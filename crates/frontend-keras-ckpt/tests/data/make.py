"""Writes the checkpoints of this folder with TensorFlow 2.15 and what TensorFlow reads back from them.

    python make.py

expected.json: by checkpoint, by key, the type,
the shape and the little-endian bytes in hexadecimal (strings: a list of hexadecimal strings).
"""
import json
import os
import shutil

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

HERE = os.path.dirname(os.path.abspath(__file__))
tf1 = tf.compat.v1
TYPES = "float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool float16 bfloat16".split()
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def write(version, sharded, folder):
    os.makedirs(folder)
    rng = np.random.default_rng(version * 2 + sharded)
    with tf.Graph().as_default(), tf1.Session() as session:
        for i, name in enumerate(TYPES):
            if version == 1 and name in ("bfloat16", "uint32", "uint64"):
                continue  # TensorFlow does not save these in version 1.
            with tf.device(f"/cpu:{i % 2}"):
                value = rng.integers(0 if name[0] in "ub" else -100, 2 if name == "bool" else 100, size=(2, 3))
                tf1.get_variable(f"types/{name}", initializer=tf.cast(tf.constant(value), name), use_resource=i % 3 == 0)
        tf1.get_variable("scalar", initializer=tf.constant(3.5))
        tf1.get_variable("empty", initializer=tf.zeros((0, 3)))
        tf1.get_variable("long", initializer=tf.constant(rng.normal(size=(40, 50)).astype(np.float32)))
        for axis, parts in ((0, 3), (1, 2)):
            with tf1.variable_scope("cut", partitioner=tf1.fixed_size_partitioner(parts, axis)):
                with tf.device(f"/cpu:{axis}"):
                    init = tf1.random_uniform_initializer(-100, 100, seed=axis)
                    tf1.get_variable(f"axis{axis}", shape=(7, 5), initializer=init, use_resource=False)
        if version == 2:
            tf1.get_variable("strings", initializer=tf.constant([["a", ""], ["\xff\0", "long" * 50]]))
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver(sharded=sharded, write_version=version).save(session, f"{folder}/m.ckpt", write_meta_graph=False)


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


def write_objects(folder, optimizer):
    model = tf.keras.Sequential([tf.keras.layers.Dense(3, input_shape=(4,)), tf.keras.layers.BatchNormalization()])
    model.compile(optimizer, "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)
    tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(f"{folder}/m")
    return {v.name: v.numpy().tobytes().hex() for v in model.variables}


def read(path):
    reader, entries = tf.train.load_checkpoint(path), {}
    for key, shape in reader.get_variable_to_shape_map().items():
        value = reader.get_tensor(key)
        if reader.get_variable_to_dtype_map()[key] == tf.string:
            data = [v.hex() for v in np.asarray(value, dtype=object).ravel()]
        else:
            data = np.asarray(value).tobytes().hex()
        entries[key] = {"type": reader.get_variable_to_dtype_map()[key].name, "shape": shape, "data": data}
    return dict(sorted(entries.items()))


expected, full_names = {}, {}
for name in ("v1", "v1_sharded", "v2", "v2_sharded", "grid", "objects", "slots"):
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(1)
    if name == "grid":
        write_grid(folder)
    elif name == "objects":
        full_names[name] = write_objects(folder, tf.keras.optimizers.Adam())
    elif name == "slots":
        full_names[name] = write_objects(folder, tf.keras.optimizers.legacy.Adam())
    else:
        write(int(name[1]), name.endswith("sharded"), folder)
    path = {"v1_sharded": "m.ckpt-?????-of-?????", "objects": "m-1", "slots": "m-1"}.get(name, "m.ckpt")
    expected[name] = read(os.path.join(folder, path))
json.dump({"tensors": expected, "full_names": full_names}, open(os.path.join(HERE, "expected.json"), "w"), indent=0)
print({name: len(entries) for name, entries in expected.items()})
