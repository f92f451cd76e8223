//! Networks as shapes: enough to count cycles by, without weights.

/// A feature map: pieces that lie beside each other (a concatenation has several), each with the number of the node that
/// makes it, and its channels.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) pieces: Vec<(usize, u32)>,
    pub(crate) height: u32,
    pub(crate) width: u32,
}

impl Tensor {
    pub(crate) fn channels(&self) -> u32 {
        self.pieces.iter().map(|(_, channels)| channels).sum()
    }
}

/// A window: rows and columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) kernel: [u32; 2],
    pub(crate) stride: u32,
    pub(crate) pad: [u32; 2],
    pub(crate) dilation: u32,
}

/// A square window that keeps the size at stride 1.
pub(crate) fn same(side: u32) -> Window {
    Window { kernel: [side; 2], stride: 1, pad: [side / 2; 2], dilation: 1 }
}

/// A square window without padding.
pub(crate) fn valid(side: u32) -> Window {
    Window { pad: [0; 2], ..same(side) }
}

impl Window {
    pub(crate) fn stride(self, stride: u32) -> Self {
        Self { stride, ..self }
    }

    fn outputs(&self, axis: usize, size: u32, round_up: bool) -> u32 {
        let reach = self.dilation * (self.kernel[axis] - 1) + 1;
        let free = (size + 2 * self.pad[axis]).saturating_sub(reach);
        1 + if round_up { free.div_ceil(self.stride) } else { free / self.stride }
    }
}

/// What a node computes.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// The network's image, in the card's memory.
    Image,
    /// A convolution, with a map that is added.
    Convolution { addend: Option<Tensor>, relu: bool },
    /// A convolution of each channel by itself.
    Depthwise,
    /// The largest of a window.
    Pooling,
    /// Local response normalisation.
    Normalisation,
}

/// A node and what it makes.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) input: Tensor,
    pub(crate) window: Window,
    pub(crate) channels: u32,
    pub(crate) height: u32,
    pub(crate) width: u32,
    /// Multiplications and additions that the network asks for.
    pub(crate) flops: u64,
}

/// A network.
#[derive(Clone, Debug, Default)]
pub(crate) struct Net {
    pub(crate) nodes: Vec<Node>,
}

impl Net {
    fn add(&mut self, node: Node) -> Tensor {
        let (height, width) = (node.height, node.width);
        self.nodes.push(node.clone());
        Tensor { pieces: vec![(self.nodes.len() - 1, node.channels)], height, width }
    }

    fn windowed(
        &mut self,
        kind: Kind,
        input: &Tensor,
        window: Window,
        channels: u32,
        round_up: bool,
    ) -> Tensor {
        let [height, width] =
            [(0, input.height), (1, input.width)].map(|(axis, size)| window.outputs(axis, size, round_up));
        let per_output = match kind {
            Kind::Convolution { .. } => 2 * input.channels() * window.kernel[0] * window.kernel[1],
            Kind::Depthwise => 2 * window.kernel[0] * window.kernel[1],
            _ => 0,
        };
        let flops = u64::from(per_output) * u64::from(channels) * u64::from(height) * u64::from(width);
        self.add(Node { kind, input: input.clone(), window, channels, height, width, flops })
    }

    /// The image.
    pub(crate) fn image(&mut self, side: u32, channels: u32) -> Tensor {
        let input = Tensor { pieces: Vec::new(), height: side, width: side };
        let window = same(1);
        self.add(Node { kind: Kind::Image, input, window, channels, height: side, width: side, flops: 0 })
    }

    /// The first convolution. With a stride, neighbours of the image become channels and the stride becomes 1, as Intel's
    /// compilers fold it (FPGA AI Suite handbook, "Folding Input"; arXiv 1701.03534 for AlexNet).
    pub(crate) fn first(&mut self, side: u32, channels: u32, window: Window) -> Tensor {
        let [height, width] = [0, 1].map(|axis| window.outputs(axis, side, false));
        let stride = window.stride;
        let input = self.image(side.div_ceil(stride), 3 * stride * stride);
        let flops = u64::from(2 * 3 * window.kernel[0] * window.kernel[1] * channels);
        let kernel = window.kernel.map(|size| size.div_ceil(stride));
        let window = Window { kernel, ..same(1) };
        let kind = Kind::Convolution { addend: None, relu: true };
        let flops = flops * u64::from(height) * u64::from(width);
        self.add(Node { kind, input, window, channels, height, width, flops })
    }

    /// A convolution and its activation.
    pub(crate) fn conv(&mut self, input: &Tensor, channels: u32, window: Window) -> Tensor {
        self.windowed(Kind::Convolution { addend: None, relu: true }, input, window, channels, false)
    }

    /// A convolution without an activation.
    pub(crate) fn linear(&mut self, input: &Tensor, channels: u32, window: Window) -> Tensor {
        self.windowed(Kind::Convolution { addend: None, relu: false }, input, window, channels, false)
    }

    /// A convolution to which a map is added.
    pub(crate) fn add_conv(&mut self, input: &Tensor, window: Window, addend: &Tensor, relu: bool) -> Tensor {
        let kind = Kind::Convolution { addend: Some(addend.clone()), relu };
        self.windowed(kind, input, window, addend.channels(), false)
    }

    /// A convolution of each channel by itself.
    pub(crate) fn depthwise(&mut self, input: &Tensor, window: Window) -> Tensor {
        self.windowed(Kind::Depthwise, input, window, input.channels(), false)
    }

    /// Pooling; Caffe rounds the number of windows up.
    pub(crate) fn pool(&mut self, input: &Tensor, window: Window, round_up: bool) -> Tensor {
        self.windowed(Kind::Pooling, input, window, input.channels(), round_up)
    }

    /// The mean over a window. It is a convolution of each channel by itself:
    /// Intel's kernel beside the array pools maxima only (FPGA AI Suite IP reference manual, "Parameter group: pool").
    pub(crate) fn average(&mut self, input: &Tensor, window: Window) -> Tensor {
        let end = self.windowed(Kind::Depthwise, input, window, input.channels(), false);
        self.nodes[end.pieces[0].0].flops = 0;
        end
    }

    /// The mean of all places: of columns, then of what these give.
    pub(crate) fn mean(&mut self, input: &Tensor) -> Tensor {
        let rows = self.average(input, Window { kernel: [input.height, 1], ..valid(1) });
        self.average(&rows, Window { kernel: [1, input.width], ..valid(1) })
    }

    /// Local response normalisation.
    pub(crate) fn norm(&mut self, input: &Tensor) -> Tensor {
        self.windowed(Kind::Normalisation, input, same(1), input.channels(), false)
    }

    /// A fully connected layer: a convolution whose window is the image.
    pub(crate) fn dense(&mut self, input: &Tensor, channels: u32) -> Tensor {
        let window = Window { kernel: [input.height, input.width], ..valid(1) };
        self.linear(input, channels, window)
    }
}

/// Maps beside each other.
pub(crate) fn concat(maps: &[Tensor]) -> Tensor {
    let pieces = maps.iter().flat_map(|map| map.pieces.iter().copied()).collect();
    Tensor { pieces, height: maps[0].height, width: maps[0].width }
}
