"""Builds the classic Caffe networks with seeded weights into a folder, and asks OpenCV 4.10 for their answers.

    classics.py FOLDER [NAME..]

Per network: `caffe_<name>.prototxt`, `.caffemodel`, and, written last, `.npz` (input and answers, by name). A network
whose .npz is there is skipped. The topologies are those of the papers: AlexNet and CaffeNet (Krizhevsky et al. 2012;
CaffeNet pools before it normalises), GoogLeNet (Szegedy et al. 2014, arXiv:1409.4842), SqueezeNet 1.1 (Iandola et al. 2016,
arXiv:1602.07360), VGG16 (Simonyan and Zisserman 2014, arXiv:1409.1556), ResNet50 (He et al. 2015, arXiv:1512.03385),
MobileNet-SSD (Howard et al. 2017, arXiv:1704.04861, with the heads of Liu et al. 2016, arXiv:1512.02325).
"""

import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "fixtures/caffe_ops"))
from caffemodel import caffemodel  # noqa: E402


class Net:
    """A prototxt and its weights as they grow; methods return the name of their top."""

    def __init__(self, side, seed):
        self.rng = np.random.default_rng(seed)
        self.channels = {"data": 3}
        self.weights = []
        self.text = [f'input: "data"\ninput_shape {{ dim: 1 dim: 3 dim: {side} dim: {side} }}']

    def layer(self, name, kind, bottoms, body="", top=None, channels=None):
        bottoms = [bottoms] if isinstance(bottoms, str) else bottoms
        top = top or name
        wires = " ".join([f'bottom: "{b}"' for b in bottoms] + [f'top: "{top}"'])
        self.text.append(f'layer {{ name: "{name}" type: "{kind}" {wires} {body} }}')
        self.channels[top] = channels or self.channels[bottoms[0]]
        return top

    def weigh(self, name, kind, *arrays):
        self.weights.append((name, kind, [np.asarray(a, "f4") for a in arrays]))

    def kernel(self, shape, gain=1.0):
        return self.rng.standard_normal(shape, "f4") * np.float32(gain * (2.0 / np.prod(shape[1:])) ** 0.5)

    def conv(self, name, bottom, out, k, stride=1, pad=0, group=1, bias=True, gain=1.0, kind="Convolution"):
        shape = (out, self.channels[bottom] // group, k, k)
        blobs = [self.kernel(shape, gain)] + ([self.rng.normal(0, 0.05, out)] if bias else [])
        self.weigh(name, kind, *blobs)
        more = "".join(f" {key}: {value}" for key, value, usual in
                       [("stride", stride, 1), ("pad", pad, 0), ("group", group, 1)] if value != usual)
        more += "" if bias else " bias_term: false"
        return self.layer(name, kind, bottom, f"convolution_param {{ num_output: {out} kernel_size: {k}{more} }}",
                          channels=out)

    def relu(self, top):
        return self.layer(f"{top}_relu", "ReLU", top, top=top)

    def conv_relu(self, *args, **kwargs):
        return self.relu(self.conv(*args, **kwargs))

    def pool(self, name, bottom, k, stride, pad=0, how="MAX"):
        pad = f" pad: {pad}" if pad else ""
        return self.layer(name, "Pooling", bottom, f"pooling_param {{ pool: {how} kernel_size: {k} stride: {stride}{pad} }}")

    def pool_all(self, name, bottom):
        return self.layer(name, "Pooling", bottom, "pooling_param { pool: AVE global_pooling: true }")

    def lrn(self, name, bottom):
        return self.layer(name, "LRN", bottom, "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")

    def dense(self, name, bottom, inputs, out, gain=1.0):
        self.weigh(name, "InnerProduct", self.kernel((out, inputs), gain), self.rng.normal(0, 0.05, out))
        return self.layer(name, "InnerProduct", bottom, f"inner_product_param {{ num_output: {out} }}", channels=out)

    def dropout(self, top):
        return self.layer(f"{top}_drop", "Dropout", top, "dropout_param { dropout_ratio: 0.5 }", top=top)

    def norm(self, name, top, gain=1.0):
        """BatchNorm and Scale, in place, as Caffe's ResNets have them."""
        n, rng = self.channels[top], self.rng
        self.weigh(f"bn_{name}", "BatchNorm", rng.normal(0, 0.2, n) * 2.0, rng.uniform(0.7, 1.4, n) * 2.0, [2.0])
        self.layer(f"bn_{name}", "BatchNorm", top, "batch_norm_param { use_global_stats: true }", top=top)
        self.weigh(f"scale_{name}", "Scale", gain * rng.uniform(0.7, 1.3, n), rng.normal(0, 0.2, n))
        return self.layer(f"scale_{name}", "Scale", top, "scale_param { bias_term: true }", top=top)

    def concat(self, name, bottoms, body=""):
        return self.layer(name, "Concat", bottoms, body, channels=sum(self.channels[b] for b in bottoms))

    def softmax(self, bottom):
        return self.layer("prob", "Softmax", bottom)


# The first layer brings pixels of magnitude 64 to about one.
PIXELS = 1 / 64


def alexnet(net, pool_first=False):
    top = "data"
    for i, (out, k, stride, pad, group) in enumerate([(96, 11, 4, 0, 1), (256, 5, 1, 2, 2)], 1):
        top = net.conv_relu(f"conv{i}", top, out, k, stride, pad, group, gain=PIXELS if i == 1 else 1.0)
        pool = lambda top: net.pool(f"pool{i}", top, 3, 2)
        norm = lambda top: net.lrn(f"norm{i}", top)
        top = norm(pool(top)) if pool_first else pool(norm(top))
    for i, (out, group) in enumerate([(384, 1), (384, 2), (256, 2)], 3):
        top = net.conv_relu(f"conv{i}", top, out, 3, 1, 1, group)
    top = net.pool("pool5", top, 3, 2)
    for i, inputs in [(6, 256 * 6 * 6), (7, 4096)]:
        top = net.dropout(net.relu(net.dense(f"fc{i}", top, inputs, 4096)))
    net.softmax(net.dense("fc8", top, 4096, 1000, gain=0.8))


def caffenet(net):
    alexnet(net, pool_first=True)


def vgg16(net):
    top = "data"
    for stage, (count, out) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
        for i in range(1, count + 1):
            gain = PIXELS if top == "data" else 1.0
            top = net.conv_relu(f"conv{stage}_{i}", top, out, 3, 1, 1, gain=gain)
        top = net.pool(f"pool{stage}", top, 2, 2)
    for i, inputs in [(6, 512 * 7 * 7), (7, 4096)]:
        top = net.dropout(net.relu(net.dense(f"fc{i}", top, inputs, 4096)))
    net.softmax(net.dense("fc8", top, 4096, 1000, gain=1.0))


def googlenet(net):
    top = net.conv_relu("conv1/7x7_s2", "data", 64, 7, 2, 3, gain=PIXELS)
    top = net.lrn("pool1/norm1", net.pool("pool1/3x3_s2", top, 3, 2))
    top = net.conv_relu("conv2/3x3", net.conv_relu("conv2/3x3_reduce", top, 64, 1), 192, 3, 1, 1)
    top = net.pool("pool2/3x3_s2", net.lrn("conv2/norm2", top), 3, 2)
    cells = {
        "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
        "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128),
        "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
    }
    for cell, (one, reduce3, three, reduce5, five, pooled) in cells.items():
        at = f"inception_{cell}"
        branches = [
            net.conv_relu(f"{at}/1x1", top, one, 1),
            net.conv_relu(f"{at}/3x3", net.conv_relu(f"{at}/3x3_reduce", top, reduce3, 1), three, 3, 1, 1),
            net.conv_relu(f"{at}/5x5", net.conv_relu(f"{at}/5x5_reduce", top, reduce5, 1), five, 5, 1, 2),
            net.conv_relu(f"{at}/pool_proj", net.pool(f"{at}/pool", top, 3, 1, 1), pooled, 1),
        ]
        top = net.concat(f"{at}/output", branches)
        if cell in ("3b", "4e"):
            top = net.pool(f"pool{int(cell[0])}/3x3_s2", top, 3, 2)
    top = net.dropout(net.pool("pool5/7x7_s1", top, 7, 1, how="AVE"))
    net.softmax(net.dense("loss3/classifier", top, 1024, 1000, gain=1.0))


def squeezenet(net):
    top = net.pool("pool1", net.conv_relu("conv1", "data", 64, 3, 2, gain=PIXELS), 3, 2)
    for i, squeeze in enumerate([16, 16, 32, 32, 48, 48, 64, 64], 2):
        at = f"fire{i}"
        top = net.conv_relu(f"{at}/squeeze1x1", top, squeeze, 1)
        branches = [net.conv_relu(f"{at}/expand1x1", top, 4 * squeeze, 1),
                    net.conv_relu(f"{at}/expand3x3", top, 4 * squeeze, 3, 1, 1)]
        top = net.concat(f"{at}/concat", branches)
        if i in (3, 5):
            top = net.pool(f"pool{i}", top, 3, 2)
    top = net.conv_relu("conv10", net.dropout(top), 1000, 1, gain=4.0)
    net.softmax(net.pool_all("pool10", top))


def resnet50(net):
    top = net.conv("conv1", "data", 64, 7, 2, 3, gain=PIXELS)
    top = net.pool("pool1", net.relu(net.norm("conv1", top)), 3, 2)
    for stage, (blocks, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], 2):
        for block in range(blocks):
            at = f"{stage}{'abcdef'[block]}"
            stride = 2 if stage > 2 and block == 0 else 1
            short = top
            if block == 0:
                short = net.norm(f"{at}_branch1", net.conv(f"res{at}_branch1", top, 4 * width, 1, stride, bias=False))
            inner = top
            for letter, (out, k, step, pad) in zip("abc", [(width, 1, stride, 0), (width, 3, 1, 1), (4 * width, 1, 1, 0)]):
                name = f"{at}_branch2{letter}"
                inner = net.conv(f"res{name}", inner, out, k, step, pad, bias=False)
                inner = net.norm(name, inner, gain=0.4 if letter == "c" else 1.0)
                inner = inner if letter == "c" else net.relu(inner)
            top = net.relu(net.layer(f"res{at}", "Eltwise", [short, inner]))
    top = net.pool("pool5", top, 7, 1, how="AVE")
    net.softmax(net.dense("fc1000", top, 2048, 1000, gain=0.3))


def mobilenet_ssd(net):
    top = net.conv_relu("conv0", "data", 32, 3, 2, 1, gain=PIXELS)
    widths = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for i, (out, stride) in enumerate(widths, 1):
        inputs = net.channels[top]
        top = net.conv_relu(f"conv{i}/dw", top, inputs, 3, stride, 1, inputs)
        top = net.conv_relu(f"conv{i}", top, out, 1)
    for i, (reduced, out) in enumerate([(256, 512), (128, 256), (128, 256), (64, 128)], 14):
        top = net.conv_relu(f"conv{i}_2", net.conv_relu(f"conv{i}_1", top, reduced, 1), out, 3, 2, 1)
    sources = [("conv11", 60, None), ("conv13", 105, 150), ("conv14_2", 150, 195), ("conv15_2", 195, 240),
               ("conv16_2", 240, 285), ("conv17_2", 285, 300)]
    parts = {"loc": [], "conf": [], "priorbox": []}
    for source, least, most in sources:
        count = 6 if most else 3
        for what, width, gain in [("loc", 4, 0.3), ("conf", 21, 3.0)]:
            at = f"{source}_mbox_{what}"
            top = net.conv(at, source, count * width, 1, gain=gain)
            top = net.layer(f"{at}_perm", "Permute", top, "permute_param { order: 0 order: 2 order: 3 order: 1 }")
            parts[what].append(net.layer(f"{at}_flat", "Flatten", top, "flatten_param { axis: 1 }"))
        ratios = "aspect_ratio: 2.0" + (f" aspect_ratio: 3.0 max_size: {most}" if most else "")
        body = (f"prior_box_param {{ min_size: {least} {ratios} flip: true clip: false "
                "variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 offset: 0.5 }")
        parts["priorbox"].append(net.layer(f"{source}_mbox_priorbox", "PriorBox", [source, "data"], body))
    loc, conf, priors = (
        net.concat(f"mbox_{what}", parts[what], f"concat_param {{ axis: {axis} }}")
        for what, axis in [("loc", 1), ("conf", 1), ("priorbox", 2)])
    conf = net.layer("mbox_conf_reshape", "Reshape", conf, "reshape_param { shape { dim: 0 dim: -1 dim: 21 } }")
    conf = net.layer("mbox_conf_softmax", "Softmax", conf, "softmax_param { axis: 2 }")
    conf = net.layer("mbox_conf_flatten", "Flatten", conf, "flatten_param { axis: 1 }")
    net.layer("detection_out", "DetectionOutput", [loc, conf, priors],
              "include { phase: TEST } detection_output_param { num_classes: 21 share_location: true "
              "background_label_id: 0 nms_param { nms_threshold: 0.45 top_k: 100 } code_type: CENTER_SIZE "
              "keep_top_k: 100 confidence_threshold: 0.25 }")


CLASSICS = {
    "alexnet": (alexnet, 227), "caffenet": (caffenet, 227), "googlenet": (googlenet, 224),
    "squeezenet": (squeezenet, 227), "vgg16": (vgg16, 224), "resnet50": (resnet50, 224),
    "mobilenet_ssd": (mobilenet_ssd, 300),
}


def image(side, rng):
    """Smooth coloured noise around zero, as a photograph less its mean."""
    total = np.zeros((side, side, 3), "f4")
    for cells in (3, 9, 27, 81):
        coarse = rng.normal(0, 1, (cells, cells, 3)).astype("f4")
        total += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR) / cells**0.5
    return (total / total.std() * 64).transpose(2, 0, 1)[None].copy()


def build(name, folder):
    build_layers, side = CLASSICS[name]
    net = Net(side, seed=sum(name.encode()))
    build_layers(net)
    stem = folder / f"caffe_{name}"
    text, model = "\n".join([f'name: "{name}"', *net.text, ""]), caffemodel(net.weights)
    stem.with_suffix(".prototxt").write_text(text)
    stem.with_suffix(".caffemodel").write_bytes(model)
    data = image(side, net.rng)
    reader = cv2.dnn.readNetFromCaffe(bytearray(text.encode()), bytearray(model))
    reader.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    reader.enableWinograd(False)
    reader.setInput(data, "data")
    output = "detection_out" if name == "mobilenet_ssd" else "prob"
    answer = reader.forward(output)
    np.savez(stem.with_suffix(".npz"), **{"data": data, output: answer})
    print(f"{stem}: {answer.shape}, largest {answer.max():.3g}, spread {answer.std():.3g}", flush=True)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or CLASSICS:
        if not (folder / f"caffe_{name}.npz").exists():
            build(name, folder)


if __name__ == "__main__":
    main()
