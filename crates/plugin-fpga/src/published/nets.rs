//! The networks of published figures.

use super::shapes::{Net, Tensor, Window, concat, same, valid};

/// A network and its figure.
pub(crate) struct Published {
    /// As Intel's chart names it.
    pub(crate) name: &'static str,
    /// Frames in a second, batch 1, one Arria 10 (IVAD card), FP11: OpenVINO 2020.4's benchmark chart.
    pub(crate) fps: f64,
    pub(crate) build: fn() -> Net,
}

pub(crate) const NETS: [Published; 9] = [
    Published { name: "ssd300-VGG", fps: 48.0, build: ssd300 },
    Published { name: "squeezenet1.1", fps: 2283.0, build: squeezenet },
    Published { name: "resnet-101", fps: 241.0, build: || resnet([3, 4, 23, 3]) },
    Published { name: "resnet-50", fps: 429.0, build: || resnet([3, 4, 6, 3]) },
    Published { name: "mobilenet-v2", fps: 537.0, build: mobilenet_v2 },
    Published { name: "mobilenet-v1", fps: 774.0, build: mobilenet_v1 },
    Published { name: "mobilenet-ssd", fps: 466.0, build: mobilenet_ssd },
    Published { name: "inception-v3", fps: 178.0, build: inception_v3 },
    Published { name: "googlenet-v1", fps: 789.0, build: googlenet },
];

fn ssd300() -> Net {
    let mut net = Net::default();
    let mut x = net.first(300, 64, same(3));
    let mut fourth = x.clone();
    for (channels, convolutions) in [(64, 1), (128, 2), (256, 3), (512, 3)] {
        for _ in 0..convolutions {
            x = net.conv(&x, channels, same(3));
        }
        fourth = x.clone();
        x = net.pool(&x, valid(2).stride(2), true);
    }
    for _ in 0..3 {
        x = net.conv(&x, 512, same(3));
    }
    x = net.pool(&x, same(3), false);
    x = net.conv(&x, 1024, Window { pad: [6; 2], dilation: 6, ..same(3) });
    x = net.conv(&x, 1024, same(1));
    let mut maps = vec![(fourth, 4), (x.clone(), 6)];
    let further =
        [(256, same(3).stride(2), 6), (128, same(3).stride(2), 6), (128, valid(3), 4), (128, valid(3), 4)];
    for (channels, window, boxes) in further {
        x = net.conv(&x, channels, same(1));
        x = net.conv(&x, 2 * channels, window);
        maps.push((x.clone(), boxes));
    }
    heads(&mut net, &maps, same(3));
    net
}

/// For each map, places and classes of its boxes.
fn heads(net: &mut Net, maps: &[(Tensor, u32)], window: Window) {
    for (map, boxes) in maps {
        net.linear(map, 4 * boxes, window);
        net.linear(map, 21 * boxes, window);
    }
}

fn squeezenet() -> Net {
    let mut net = Net::default();
    let mut x = net.first(227, 64, valid(3).stride(2));
    for (i, (squeezed, expanded)) in
        [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
            .into_iter()
            .enumerate()
    {
        if [0, 2, 4].contains(&i) {
            x = net.pool(&x, valid(3).stride(2), true);
        }
        let small = net.conv(&x, squeezed, same(1));
        x = concat(&[net.conv(&small, expanded, same(1)), net.conv(&small, expanded, same(3))]);
    }
    x = net.conv(&x, 1000, same(1));
    net.mean(&x);
    net
}

fn resnet(blocks: [u32; 4]) -> Net {
    let mut net = Net::default();
    let x = net.first(224, 64, same(7).stride(2));
    let mut x = net.pool(&x, valid(3).stride(2), true);
    for (stage, blocks) in blocks.into_iter().enumerate() {
        let channels = 64 << stage;
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let shortcut = match block {
                0 => net.linear(&x, 4 * channels, same(1).stride(stride)),
                _ => x.clone(),
            };
            x = net.conv(&x, channels, same(1).stride(stride));
            x = net.conv(&x, channels, same(3));
            x = net.add_conv(&x, same(1), &shortcut, true);
        }
    }
    x = net.mean(&x);
    net.dense(&x, 1000);
    net
}

/// The pairs of a depthwise convolution and one of 1 x 1, and the map before the last stride.
fn mobilenet(net: &mut Net, side: u32) -> [Tensor; 2] {
    let mut x = net.first(side, 32, same(3).stride(2));
    let mut middle = x.clone();
    for (channels, stride, times) in [
        (64, 1, 1),
        (128, 2, 1),
        (128, 1, 1),
        (256, 2, 1),
        (256, 1, 1),
        (512, 2, 1),
        (512, 1, 5),
        (1024, 2, 1),
        (1024, 1, 1),
    ] {
        for _ in 0..times {
            x = net.depthwise(&x, same(3).stride(stride));
            x = net.conv(&x, channels, same(1));
        }
        if channels == 512 {
            middle = x.clone();
        }
    }
    [middle, x]
}

fn mobilenet_v1() -> Net {
    let mut net = Net::default();
    let [_, x] = mobilenet(&mut net, 224);
    let x = net.mean(&x);
    net.dense(&x, 1000);
    net
}

fn mobilenet_ssd() -> Net {
    let mut net = Net::default();
    let [middle, mut x] = mobilenet(&mut net, 300);
    let mut maps = vec![(middle, 3), (x.clone(), 6)];
    for channels in [256, 128, 128, 64] {
        x = net.conv(&x, channels, same(1));
        x = net.conv(&x, 2 * channels, same(3).stride(2));
        maps.push((x.clone(), 6));
    }
    heads(&mut net, &maps, same(1));
    net
}

fn mobilenet_v2() -> Net {
    let mut net = Net::default();
    let mut x = net.first(224, 32, same(3).stride(2));
    for (factor, channels, times, stride) in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ] {
        for time in 0..times {
            let wide = match factor {
                1 => x.clone(),
                _ => net.conv(&x, factor * x.channels(), same(1)),
            };
            let wide = net.depthwise(&wide, same(3).stride(if time == 0 { stride } else { 1 }));
            x = match time {
                0 => net.linear(&wide, channels, same(1)),
                _ => net.add_conv(&wide, same(1), &x, false),
            };
        }
    }
    x = net.conv(&x, 1280, same(1));
    x = net.mean(&x);
    net.dense(&x, 1000);
    net
}

fn googlenet() -> Net {
    let mut net = Net::default();
    let mut x = net.first(224, 64, same(7).stride(2));
    x = net.pool(&x, valid(3).stride(2), true);
    x = net.norm(&x);
    x = net.conv(&x, 64, same(1));
    x = net.conv(&x, 192, same(3));
    x = net.norm(&x);
    let blocks: [[u32; 6]; 9] = [
        [64, 96, 128, 16, 32, 32],
        [128, 128, 192, 32, 96, 64],
        [192, 96, 208, 16, 48, 64],
        [160, 112, 224, 24, 64, 64],
        [128, 128, 256, 24, 64, 64],
        [112, 144, 288, 32, 64, 64],
        [256, 160, 320, 32, 128, 128],
        [256, 160, 320, 32, 128, 128],
        [384, 192, 384, 48, 128, 128],
    ];
    for (i, [one, reduce3, three, reduce5, five, pooled]) in blocks.into_iter().enumerate() {
        if [0, 2, 7].contains(&i) {
            x = net.pool(&x, valid(3).stride(2), true);
        }
        let first = net.conv(&x, one, same(1));
        let small = net.conv(&x, reduce3, same(1));
        let second = net.conv(&small, three, same(3));
        let small = net.conv(&x, reduce5, same(1));
        let third = net.conv(&small, five, same(5));
        let pool = net.pool(&x, same(3), false);
        x = concat(&[first, second, third, net.conv(&pool, pooled, same(1))]);
    }
    x = net.mean(&x);
    net.dense(&x, 1000);
    net
}

fn inception_v3() -> Net {
    let rows = |kernel: [u32; 2]| Window { kernel, pad: kernel.map(|size| size / 2), ..same(1) };
    let (row, column, halve) = (rows([1, 7]), rows([7, 1]), valid(3).stride(2));
    let mut net = Net::default();
    let mut x = net.first(299, 32, valid(3).stride(2));
    x = net.conv(&x, 32, valid(3));
    x = net.conv(&x, 64, same(3));
    x = net.pool(&x, halve, false);
    x = net.conv(&x, 80, same(1));
    x = net.conv(&x, 192, valid(3));
    x = net.pool(&x, halve, false);
    for pooled in [32, 64, 64] {
        let branches: [&[(u32, Window)]; 3] = [
            &[(64, same(1))],
            &[(48, same(1)), (64, same(5))],
            &[(64, same(1)), (96, same(3)), (96, same(3))],
        ];
        x = block(&mut net, &x, &branches, Some(pooled));
    }
    x = block(&mut net, &x, &[&[(384, halve)], &[(64, same(1)), (96, same(3)), (96, halve)]], None);
    for m in [128, 160, 160, 192] {
        let branches: [&[(u32, Window)]; 3] = [
            &[(192, same(1))],
            &[(m, same(1)), (m, row), (192, column)],
            &[(m, same(1)), (m, column), (m, row), (m, column), (192, row)],
        ];
        x = block(&mut net, &x, &branches, Some(192));
    }
    let branches: [&[(u32, Window)]; 2] =
        [&[(192, same(1)), (320, halve)], &[(192, same(1)), (192, row), (192, column), (192, halve)]];
    x = block(&mut net, &x, &branches, None);
    for _ in 0..2 {
        let first = net.conv(&x, 320, same(1));
        let small = net.conv(&x, 384, same(1));
        let second = [[1, 3], [3, 1]].map(|kernel| net.conv(&small, 384, rows(kernel)));
        let small = net.conv(&x, 448, same(1));
        let small = net.conv(&small, 384, same(3));
        let third = [[1, 3], [3, 1]].map(|kernel| net.conv(&small, 384, rows(kernel)));
        let pool = net.average(&x, same(3));
        let pool = net.conv(&pool, 192, same(1));
        x = concat(&[&[first], &second[..], &third[..], &[pool]].concat());
    }
    x = net.mean(&x);
    net.dense(&x, 1001);
    net
}

/// Branches of convolutions and one that pools: at stride 1 and a convolution, or at stride 2.
fn block(net: &mut Net, x: &Tensor, branches: &[&[(u32, Window)]], pooled: Option<u32>) -> Tensor {
    let mut ends = Vec::new();
    for branch in branches {
        let mut end = x.clone();
        for (channels, window) in *branch {
            end = net.conv(&end, *channels, *window);
        }
        ends.push(end);
    }
    ends.push(match pooled {
        Some(channels) => {
            let pool = net.average(x, same(3));
            net.conv(&pool, channels, same(1))
        }
        None => net.pool(x, valid(3).stride(2), false),
    });
    concat(&ends)
}

/// ResNet-8 of MLPerf Tiny, on CIFAR-10's images.
pub(crate) fn resnet8() -> Net {
    let mut net = Net::default();
    let mut x = net.first(32, 16, same(3));
    for (channels, stride) in [(16, 1), (32, 2), (64, 2)] {
        let shortcut = match stride {
            1 => x.clone(),
            _ => net.linear(&x, channels, same(1).stride(stride)),
        };
        x = net.conv(&x, channels, same(3).stride(stride));
        x = net.add_conv(&x, same(3), &shortcut, true);
    }
    x = net.mean(&x);
    net.dense(&x, 10);
    net
}
