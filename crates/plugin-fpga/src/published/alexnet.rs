//! AlexNet's convolutions on the accelerator of arXiv 1701.03534, which computes them by Winograd's F(4, 3) in rows: four
//! outputs of three taps by six multiplications. Nothing is tuned to it.

/// A layer: the paper's effective GFLOPS, and the model's.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// The layer.
    pub name: &'static str,
    /// Effective GFLOPS: what direct convolution would compute, by the time. As remembered of the paper's table.
    pub published: f64,
    /// The same, by the model.
    pub model: f64,
}

impl Row {
    /// How far the model is off: 0.1 is a tenth too fast.
    pub fn error(&self) -> f64 {
        self.model / self.published - 1.0
    }
}

/// Input channels that enter a dot product.
const C_VEC: u64 = 8;
/// Output channels at once.
const K_VEC: u64 = 48;
/// Multiplications for [`Q_VEC`] outputs.
const W_VEC: u64 = 6;
/// Outputs at once in a row.
const Q_VEC: u64 = 4;
/// Taps of a row that F(4, 3) takes at once.
const S_VEC: u64 = 3;
/// The clock, in MHz.
const CLOCK_MHZ: f64 = 303.0;

/// A convolution: side of the output, channels and taps of a side as the array sees them (the first layer's image is folded
/// by its stride of 4), channels of the output in a group, groups, and the network's own channels and taps.
struct Convolution {
    name: &'static str,
    published: f64,
    side: u64,
    channels: u64,
    taps: u64,
    outputs: u64,
    groups: u64,
    own: [u64; 2],
}

const CONVOLUTIONS: [Convolution; 5] = {
    const fn layer(name: &'static str, published: f64, side: u64, sizes: [u64; 4]) -> Convolution {
        let [channels, taps, outputs, groups] = sizes;
        Convolution { name, published, side, channels, taps, outputs, groups, own: [channels, taps] }
    }
    [
        Convolution { own: [3, 11], ..layer("conv1", 2308.0, 55, [48, 3, 96, 1]) },
        layer("conv2", 1740.0, 27, [48, 5, 128, 2]),
        layer("conv3", 1960.0, 13, [256, 3, 384, 1]),
        layer("conv4", 1960.0, 13, [192, 3, 192, 2]),
        layer("conv5", 1743.0, 13, [192, 3, 128, 2]),
    ]
};

/// GFLOPS if every multiplier works in every cycle.
pub fn peak_gflops() -> f64 {
    (2 * C_VEC * K_VEC * W_VEC) as f64 * CLOCK_MHZ / 1e3
}

/// The paper's table beside the model.
pub fn rows() -> [Row; 5] {
    CONVOLUTIONS.map(|layer| {
        let places = layer.side * layer.side.div_ceil(Q_VEC);
        let blocks = layer.channels.div_ceil(C_VEC) * layer.outputs.div_ceil(K_VEC);
        let cycles = layer.groups * places * blocks * layer.taps * layer.taps.div_ceil(S_VEC);
        let [channels, taps] = layer.own;
        let flops = 2 * layer.groups * layer.side * layer.side * layer.outputs * channels * taps * taps;
        let model = flops as f64 / cycles as f64 * CLOCK_MHZ / 1e3;
        Row { name: layer.name, published: layer.published, model }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_papers_and_the_layers_are_near() {
        assert_eq!(peak_gflops().round(), 1396.0);
        let errors = rows().map(|row| row.error());
        assert!(errors.iter().all(|error| error.abs() < 0.16), "{errors:?}");
    }
}
