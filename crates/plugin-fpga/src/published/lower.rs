//! Descriptors of a network of shapes. Addresses are places apart from each other, for what waits for what; no memory is
//! laid out.
//!
//! A map lies in the stream buffer if all that is needed then fits; otherwise in the card's memory, and the passes that
//! write or read it work row by row: as many rows at a time as fit beside what stays.

use super::shapes::{Kind, Net, Node, Tensor};
use crate::{
    architecture::Architecture,
    instruction::{Activation, Addend, Auxiliary, Convolve, Instruction, Map, Pooling, Transfer},
};

/// A place that no two maps share.
const ROOM: u32 = 1 << 22;

/// A pass: nodes that are one stream of values.
struct Chain<'a> {
    first: &'a Node,
    pool: Option<&'a Node>,
    norm: bool,
    /// The first node.
    begin: usize,
    /// The node whose map it writes.
    last: usize,
}

struct Lowering<'a> {
    architecture: &'a Architecture,
    net: &'a Net,
    /// By node: the last chain's node that reads it.
    last_use: Vec<usize>,
    /// By node: whether its map lies in the stream buffer.
    resident: Vec<bool>,
    instructions: Vec<Instruction>,
}

/// The descriptors.
pub(crate) fn lower(net: &Net, architecture: &Architecture) -> Vec<Instruction> {
    let nodes = net.nodes.len();
    let mut readers = vec![0; nodes];
    let mut last_use = vec![0; nodes];
    for (i, node) in net.nodes.iter().enumerate() {
        for (piece, _) in node.input.pieces.iter().chain(addend_pieces(node)) {
            readers[*piece] += 1;
            last_use[*piece] = i;
        }
    }
    let instructions = Vec::new();
    let mut lowering = Lowering { architecture, net, last_use, resident: vec![false; nodes], instructions };
    let mut i = 1;
    while i < nodes {
        let follows = |at: usize| {
            let next = net.nodes.get(at + 1)?;
            (readers[at] == 1 && next.input.pieces.len() == 1 && next.input.pieces[0].0 == at).then_some(next)
        };
        let mut chain = Chain { first: &net.nodes[i], pool: None, norm: false, begin: i, last: i };
        match chain.first.kind {
            Kind::Pooling => chain.pool = Some(chain.first),
            Kind::Normalisation => chain.norm = true,
            _ => {
                if let Some(next) = follows(i).filter(|next| matches!(next.kind, Kind::Pooling)) {
                    (chain.pool, chain.last) = (Some(next), i + 1);
                }
            }
        }
        if !chain.norm && follows(chain.last).is_some_and(|next| matches!(next.kind, Kind::Normalisation)) {
            (chain.norm, chain.last) = (true, chain.last + 1);
        }
        i = chain.last + 1;
        lowering.chain(&chain);
    }
    lowering.instructions.push(Instruction::End);
    lowering.instructions
}

fn addend_pieces(node: &Node) -> &[(usize, u32)] {
    match &node.kind {
        Kind::Convolution { addend: Some(addend), .. } => &addend.pieces,
        _ => &[],
    }
}

fn half(value: u32) -> u16 {
    u16::try_from(value).expect("no published network is so large")
}

fn byte(value: u32) -> u8 {
    u8::try_from(value).expect("no published network is so large")
}

/// Rows that a window reads for so many rows of its output.
fn rows_read(node: &Node, rows: u32) -> u32 {
    let window = &node.window;
    ((rows - 1) * window.stride + window.dilation * (window.kernel[0] - 1) + 1).min(node.input.height)
}

impl Lowering<'_> {
    fn blocks(&self, tensor: &Tensor) -> u32 {
        tensor.pieces.iter().map(|(_, channels)| self.architecture.blocks(*channels)).sum()
    }

    fn words(&self, node: usize) -> u32 {
        let node = &self.net.nodes[node];
        self.architecture.blocks(node.channels) * node.height * node.width
    }

    fn chain(&mut self, chain: &Chain) {
        let last = &self.net.nodes[chain.last];
        let out_row = self.architecture.blocks(last.channels) * last.width;
        // Words of a row of what lies in the card's memory: of the input, and of the map that is added.
        let spilled = |pieces: &[(usize, u32)], width: u32| -> u32 {
            let there = pieces.iter().filter(|(piece, _)| !self.resident[*piece]);
            there.map(|(_, channels)| self.architecture.blocks(*channels) * width).sum()
        };
        let in_row = spilled(&chain.first.input.pieces, chain.first.input.width);
        let addend_row = spilled(addend_pieces(chain.first), last.width);
        let rows_in = |rows: u32| {
            let rows = chain.pool.map_or(rows, |pool| rows_read(pool, rows));
            if matches!(chain.first.kind, Kind::Pooling) { rows } else { rows_read(chain.first, rows) }
        };
        let needed = |node: usize| self.resident[node] && self.last_use[node] >= chain.begin;
        let live: u32 = (0..chain.begin).filter(|node| needed(*node)).map(|node| self.words(node)).sum();
        let capacity = self.architecture.stream_words();
        // The sum may take the place of the addend, when nobody else reads that.
        let replaced: u32 = addend_pieces(chain.first)
            .iter()
            .filter(|(piece, _)| self.resident[*piece] && self.last_use[*piece] <= chain.last)
            .map(|(piece, _)| self.words(*piece))
            .sum();
        let tile = rows_in(self.architecture.rows.min(last.height));
        let own = self.words(chain.last).saturating_sub(replaced);
        let is_output = self.last_use[chain.last] == 0;
        let stays = !is_output && live + own + tile * (in_row + addend_row) <= capacity;
        let left = capacity.saturating_sub(live + if stays { own } else { 0 });
        let slice =
            |rows: u32| rows_in(rows) * in_row + rows * (addend_row + if stays { 0 } else { out_row });
        let mut rows = last.height;
        while rows > 1 && slice(rows) > left {
            rows = rows.div_ceil(2).max(1);
        }
        let mut done = 0;
        while done < last.height {
            let now = rows.min(last.height - done);
            self.slice(chain, now, rows_in(now), [in_row * rows_in(now), addend_row * now], stays);
            done += now;
        }
        self.resident[chain.last] = stays;
    }

    fn slice(&mut self, chain: &Chain, rows: u32, rows_in: u32, loaded: [u32; 2], stays: bool) {
        let layer = half(chain.last as u32);
        let nodes = self.net.nodes.len() as u32;
        let [from, to] = [nodes, nodes + 1].map(|place| place * ROOM);
        let mut stream = from;
        for count in loaded.into_iter().filter(|count| *count > 0) {
            self.instructions.push(Instruction::Load(Transfer { layer, stream, memory: 0, count }));
            stream += count;
        }
        let first = chain.first;
        let blocks = self.blocks(&first.input);
        let address = |piece: usize| if self.resident[piece] { piece as u32 * ROOM } else { from };
        let input = Map { address: address(first.input.pieces[0].0), pitch: half(blocks) };
        let last = &self.net.nodes[chain.last];
        let pitch = half(self.architecture.blocks(last.channels));
        let output = Map { address: if stays { chain.last as u32 * ROOM } else { to }, pitch };
        let alone = matches!(first.kind, Kind::Pooling | Kind::Normalisation);
        let conv_rows = chain.pool.map_or(rows, |pool| rows_read(pool, rows));
        let chained = !alone && (chain.pool.is_some() || chain.norm);
        if !alone {
            self.instructions.push(self.convolve(chain, layer, input, output, [rows_in, conv_rows], chained));
        }
        if alone || chained {
            let window = chain.pool.map_or(first.window, |pool| pool.window);
            self.instructions.push(Instruction::Auxiliary(Auxiliary {
                layer,
                input,
                chained,
                output,
                in_height: half(if alone { rows_in } else { conv_rows }),
                in_width: half(if alone { first.input.width } else { first.width }),
                blocks: half(self.architecture.blocks(last.channels)).max(if alone {
                    input.pitch
                } else {
                    0
                }),
                out_height: half(rows),
                out_width: half(last.width),
                pooling: if chain.pool.is_some() { Pooling::Max } else { Pooling::None },
                kernel: window.kernel.map(byte),
                stride: [byte(window.stride); 2],
                pad: window.pad.map(byte),
                repeat: [1; 2],
                parameters: 0,
                scaled: false,
                addend: Addend::None,
                norm_size: if chain.norm { 5 } else { 0 },
                activation: Activation::None,
            }));
        }
        if !stays {
            let count = u32::from(pitch) * rows * last.width;
            self.instructions.push(Instruction::Store(Transfer { layer, stream: to, memory: 0, count }));
        }
    }

    fn convolve(
        &self,
        chain: &Chain,
        layer: u16,
        input: Map,
        output: Map,
        [in_rows, out_rows]: [u32; 2],
        chained: bool,
    ) -> Instruction {
        let node = chain.first;
        let word = self.architecture.input_vector;
        // Channels by themselves: groups that fill the array's K_vec filters, most of them zeros.
        let k_vec = self.architecture.output_vector;
        let (groups, in_blocks, out_channels) = match node.kind {
            Kind::Depthwise => (node.channels.div_ceil(k_vec), k_vec / word, k_vec),
            _ => (1, self.blocks(&node.input), node.channels),
        };
        let (addend, relu) = match &node.kind {
            Kind::Convolution { addend: Some(addend), relu } => {
                let (piece, channels) = addend.pieces[0];
                let pitch = half(self.architecture.blocks(channels));
                (Addend::Plus(Map { address: piece as u32 * ROOM, pitch }), *relu)
            }
            Kind::Convolution { addend: None, relu } => (Addend::None, *relu),
            _ => (Addend::None, true),
        };
        Instruction::Convolve(Convolve {
            layer,
            input,
            output,
            addend,
            activation: if relu { Activation::Relu { slope: 0 } } else { Activation::None },
            chained,
            filters: 0,
            in_height: half(in_rows),
            in_width: half(node.input.width),
            in_blocks: half(in_blocks),
            out_height: half(out_rows),
            out_width: half(node.width),
            out_channels: half(out_channels),
            groups: half(groups),
            kernel: node.window.kernel.map(byte),
            stride: [byte(node.window.stride); 2],
            dilation: [byte(node.window.dilation); 2],
            pad: node.window.pad.map(byte),
            zoom: [1; 2],
        })
    }
}
