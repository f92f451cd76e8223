//! Preprocessing in the model on the CPU, against OpenCV's answers in `fixtures/preprocess`.

use ir::{Dim, ElementType, Model, Tensor, op::*};
use runtime::{
    ColorFormat, Config, Crop, CustomOps, Error, HostTensor, InputSettings, LayerStatus, OutputSettings,
    ResizeAlgorithm, apply_settings,
};
use samples::{engine, numpy};
use std::path::PathBuf;

/// A network that gives what it is given: images of `shape`.
fn network(ty: ElementType, shape: &str, layout: &str) -> Model {
    let mut model = Model::new("identity");
    let parameter =
        Parameter { layout: layout.parse().unwrap(), ..Parameter::new(ty, shape.parse().unwrap()) };
    let parameter = model.add("image", parameter, &[]).unwrap();
    model.add_result("result", parameter.into()).unwrap();
    model
}

/// What the network gets to see of `inputs` under `settings`.
fn seen(mut model: Model, settings: InputSettings, inputs: &[Tensor]) -> Tensor {
    apply_settings(&mut model, &[settings], &[]).unwrap();
    run(&model, inputs)
}

fn run(model: &Model, inputs: &[Tensor]) -> Tensor {
    let compiled = engine::core().compile_model(model, "CPU", &Config::new()).unwrap();
    let mut request = compiled.create_infer_request().unwrap();
    for (i, input) in inputs.iter().enumerate() {
        request.set_input(i, HostTensor::from(input)).unwrap();
    }
    request.infer().unwrap();
    request.output(0).unwrap().to_tensor().unwrap()
}

struct Fixture(Vec<(String, Tensor)>);

impl Fixture {
    fn read() -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/preprocess/preprocess.npz");
        Self(numpy::read_npz(&path).unwrap())
    }

    fn image(&self, name: &str) -> Tensor {
        let name = format!("image/{name}");
        self.0.iter().find(|(found, _)| *found == name).expect("an image").1.clone()
    }

    /// The arrays below `kind`: image, the last part of the name, and what OpenCV made of it.
    fn cases<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (Tensor, &'a str, &'a Tensor)> {
        self.0.iter().filter_map(move |(name, answer)| {
            let mut parts = name.split('/');
            let found = parts.next() == Some(kind);
            found.then(|| (self.image(parts.next().unwrap()), parts.next().unwrap(), answer))
        })
    }
}

/// The largest difference of elements in the same order.
fn distance(found: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(found.len(), want.len(), "{found:?}, expected {want:?}");
    found.to_f64s().iter().zip(want.to_f64s()).map(|(f, w)| (f - w).abs()).fold(0.0, f64::max)
}

fn transposed(nhwc: &Tensor) -> Tensor {
    Transpose.evaluate(&[nhwc.clone(), Tensor::from_i64s(&[0, 3, 1, 2])]).unwrap().remove(0)
}

#[test]
fn resized_images_meet_opencv() {
    let fixture = Fixture::read();
    for (kind, algorithm, most) in [
        ("nearest", ResizeAlgorithm::Nearest, 0.0),
        ("linear", ResizeAlgorithm::Linear, 1.0),
        ("area", ResizeAlgorithm::Area, 1.0),
    ] {
        let mut farthest = 0.0f64;
        let mut count = 0;
        for (image, size, want) in fixture.cases(kind) {
            let dims = |tensor: &Tensor, i: usize| Dim::dim(tensor.shape()[i]);
            let [h, w, c] = [1, 2, 3].map(|i| want.shape()[i]);
            let settings = InputSettings {
                element_type: Some(ElementType::U8),
                size: Some([dims(&image, 1), dims(&image, 2)]),
                resize: Some(algorithm),
                ..InputSettings::default()
            };
            let model = network(ElementType::F32, &format!("[1,{h},{w},{c}]"), "NHWC");
            let fixed = seen(model, settings.clone(), std::slice::from_ref(&image));
            farthest = farthest.max(distance(&fixed, want));
            // Images of any size, for a network with its channels first.
            let settings = InputSettings { size: None, layout: Some("NHWC".parse().unwrap()), ..settings };
            let model = network(ElementType::F32, &format!("[1,{c},{h},{w}]"), "NCHW");
            let any = seen(model, settings, &[image]);
            assert!(distance(&any, &transposed(&fixed)) < 0.01, "{kind} {size}");
            count += 1;
        }
        println!("{kind}: {count} images, at most {farthest} levels from OpenCV");
        assert!(count >= 12 && farthest <= most, "{kind}: {farthest} levels");
    }
}

#[test]
fn levels_come_out_rounded_where_the_network_takes_levels() {
    let fixture = Fixture::read();
    for (image, _, want) in fixture.cases("linear") {
        let [h, w, c] = [1, 2, 3].map(|i| want.shape()[i]);
        let settings = InputSettings { resize: Some(ResizeAlgorithm::Linear), ..InputSettings::default() };
        let model = network(ElementType::U8, &format!("[1,{h},{w},{c}]"), "NHWC");
        let found = seen(model, settings, &[image]);
        assert_eq!(found.element_type(), ElementType::U8);
        assert!(distance(&found, want) <= 1.0);
    }
}

#[test]
fn colours_meet_opencv() {
    let fixture = Fixture::read();
    let mut count = 0;
    for (image, to, want) in fixture.cases("color") {
        let channels = image.shape()[3];
        let (given, wanted) = match (to, channels) {
            ("rgb", 3) => (ColorFormat::Bgr, ColorFormat::Rgb),
            ("gray", 3) => (ColorFormat::Bgr, ColorFormat::Gray),
            ("bgr", 1) => (ColorFormat::Gray, ColorFormat::Bgr),
            ("bgr", 4) => (ColorFormat::Bgrx, ColorFormat::Bgr),
            ("rgb", 4) => (ColorFormat::Bgrx, ColorFormat::Rgb),
            ("nv12-bgr", _) => (ColorFormat::Nv12, ColorFormat::Bgr),
            ("nv12-rgb", _) => (ColorFormat::Nv12, ColorFormat::Rgb),
            ("i420-bgr", _) => (ColorFormat::I420, ColorFormat::Bgr),
            ("i420-rgb", _) => (ColorFormat::I420, ColorFormat::Rgb),
            other => panic!("{other:?}"),
        };
        let [h, w, c] = [1, 2, 3].map(|i| want.shape()[i]);
        let model = || network(ElementType::F32, &format!("[1,{h},{w},{c}]"), "NHWC");
        let settings = |given| InputSettings {
            element_type: Some(ElementType::U8),
            color: Some((given, wanted)),
            ..InputSettings::default()
        };
        let found = seen(model(), settings(given), std::slice::from_ref(&image));
        assert!(distance(&found, want) <= 1.0, "{to}: {}", distance(&found, want));
        // The same frame as planes.
        let bytes = image.view::<u8>().unwrap();
        let plane = |from: usize, shape: [usize; 4]| {
            let len: usize = shape.iter().product();
            Tensor::from_slice(&shape, &bytes[from..from + len]).unwrap()
        };
        let (luma, quarter) = ([1, h, w, 1], h * w / 4);
        let (as_planes, planes) = match given {
            ColorFormat::Nv12 => {
                (ColorFormat::Nv12Planes, vec![plane(0, luma), plane(h * w, [1, h / 2, w / 2, 2])])
            }
            ColorFormat::I420 => {
                let half = [1, h / 2, w / 2, 1];
                let planes = vec![plane(0, luma), plane(h * w, half), plane(h * w + quarter, half)];
                (ColorFormat::I420Planes, planes)
            }
            _ => continue,
        };
        assert_eq!(seen(model(), settings(as_planes), &planes), found);
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn planes_are_inputs_of_their_own_behind_their_image() {
    let mut model = network(ElementType::F32, "[1,8,6,3]", "NHWC");
    model.add_parameter("other", ElementType::F32, "[2]".parse().unwrap());
    let settings = InputSettings {
        element_type: Some(ElementType::U8),
        color: Some((ColorFormat::I420Planes, ColorFormat::Rgb)),
        resize: Some(ResizeAlgorithm::Linear),
        ..InputSettings::default()
    };
    apply_settings(&mut model, &[settings], &[]).unwrap();
    let ports = ir::device::PortInfo::inputs(&model);
    let names: Vec<String> = ports.iter().map(|port| format!("{} {}", port.name(), port.ty)).collect();
    assert_eq!(names, ["image u8[1,?,?,1]", "image/u u8[1,?,?,1]", "image/v u8[1,?,?,1]", "other f32[2]"]);
}

#[test]
fn numbers_of_every_type_are_cut_shifted_and_scaled() {
    let values: Vec<f64> = (0..60).map(f64::from).collect();
    for ty in ["u8", "i8", "u16", "i16", "i32", "u32", "i64", "f16", "f32", "f64"] {
        let ty = ElementType::parse(ty).unwrap();
        let image = Tensor::from_f64s(ty, &[1, 4, 5, 3], &values).unwrap();
        let settings = InputSettings {
            element_type: Some(ty),
            layout: Some("NHWC".parse().unwrap()),
            size: Some([Dim::exactly(4), Dim::exactly(5)]),
            crop: Some(Crop { top: 1, left: 2, height: 2, width: 3 }),
            reverse_channels: true,
            mean: vec![1.0, 2.0, 3.0],
            scale: vec![4.0],
            ..InputSettings::default()
        };
        let found = seen(network(ElementType::F32, "[1,3,2,3]", "NCHW"), settings, &[image]);
        let mut want = Vec::new();
        for c in 0..3 {
            for (y, x) in (1..3).flat_map(|y| (2..5).map(move |x| (y, x))) {
                let value = values[(y * 5 + x) * 3 + 2 - c];
                want.push((value - [1.0, 2.0, 3.0][c]) / 4.0);
            }
        }
        assert_eq!(found.to_f64s(), want, "{ty}");
    }
}

#[test]
fn outputs_and_the_callers_own_ops() {
    let mut model = network(ElementType::F32, "[1,2,2,3]", "NHWC");
    let twice = CustomOps::new(|model, at| {
        let two = model.add_constant("two", Tensor::scalar(2f32));
        Ok(model.add("twice", Binary::new(BinaryKind::Multiply), &[at, two.into()])?.into())
    });
    let input = InputSettings { custom: Some(twice.clone()), ..InputSettings::default() };
    let output = OutputSettings {
        custom: Some(twice),
        element_type: Some(ElementType::I32),
        layout: Some("NCHW".parse().unwrap()),
        model_layout: Some("NHWC".parse().unwrap()),
    };
    apply_settings(&mut model, &[input], &[output]).unwrap();
    let values: Vec<f32> = (0..12).map(|v| v as f32).collect();
    let found = run(&model, &[Tensor::from_slice(&[1, 2, 2, 3], &values).unwrap()]);
    assert_eq!(found.element_type(), ElementType::I32);
    assert_eq!(found.to_i64s(), [0, 12, 24, 36, 4, 16, 28, 40, 8, 20, 32, 44]);
}

#[test]
fn what_cannot_be_is_said_of_the_input() {
    let refused = |layout: &str, settings: InputSettings| {
        let mut model = network(ElementType::F32, "[1,8,6,3]", layout);
        match apply_settings(&mut model, &[settings], &[]) {
            Err(Error::Settings { port, reason }) if port == "image" => reason,
            other => panic!("{other:?}"),
        }
    };
    let size = |h, w| Some([Dim::exactly(h), Dim::exactly(w)]);
    let resize = Some(ResizeAlgorithm::Linear);
    let base = InputSettings::default;
    assert!(refused("NHWC", InputSettings { size: size(9, 6), ..base() }).contains("9 x 6 pixels"));
    assert!(refused("", InputSettings { resize, ..base() }).contains("which dimension is H"));
    let crop = Some(Crop { top: 1, left: 0, height: 8, width: 6 });
    assert!(refused("NHWC", InputSettings { crop, size: size(8, 6), ..base() }).contains("1..9"));
    let area = Some(ResizeAlgorithm::Area);
    assert!(refused("NHWC", InputSettings { resize: area, size: size(4, 6), ..base() }).contains("smaller"));
    let color = Some((ColorFormat::Nv12, ColorFormat::Rgb));
    let nchw = Some("NCHW".parse().unwrap());
    assert!(refused("NHWC", InputSettings { color, layout: nchw, ..base() }).contains("NHWC"));
    let i32 = Some(ElementType::I32);
    assert!(refused("NHWC", InputSettings { color, element_type: i32, ..base() }).contains("u8 or floats"));
    let color = Some((ColorFormat::Rgb, ColorFormat::Nv12));
    assert!(refused("NHWC", InputSettings { color, ..base() }).contains("do not take"));
}

/// Bytes, mean and scale go into the first convolution.
#[test]
fn the_first_convolution_reads_the_bytes() {
    let mut model = network(ElementType::F32, "[1,3,16,16]", "NCHW");
    let image = model.parameters()[0];
    let weights = Tensor::from_slice(&[8, 3, 3, 3], &[0.01f32; 216]).unwrap();
    let weights = model.add_constant("weights", weights);
    let convolution = Convolution { strides: vec![1; 2], dilations: vec![1; 2], ..Convolution::default() };
    let convolution = Convolution { pads_begin: vec![0; 2], pads_end: vec![0; 2], ..convolution };
    let convolution = model.add("conv", convolution, &[image.into(), weights.into()]).unwrap();
    let result = model.results()[0];
    model.set_input(result, 0, convolution.into());
    let settings = InputSettings {
        element_type: Some(ElementType::U8),
        layout: Some("NHWC".parse().unwrap()),
        mean: vec![10.0, 20.0, 30.0],
        scale: vec![2.0],
        ..InputSettings::default()
    };
    apply_settings(&mut model, &[settings], &[]).unwrap();
    let config = Config::from([("PERF_COUNT".to_owned(), "YES".to_owned())]);
    let compiled = engine::core().compile_model(&model, "CPU", &config).unwrap();
    let mut request = compiled.create_infer_request().unwrap();
    request.infer().unwrap();
    let profile = request.profile();
    let ran = |name: &str| {
        let rows = profile.iter().filter(|row| row.name == name && row.status == LayerStatus::Executed);
        rows.map(|row| row.exec_type.as_str()).collect::<Vec<_>>()
    };
    assert!(ran("image").is_empty() && ran("conv")[0].starts_with("direct_image"), "{profile:#?}");
}

/// `cargo test --release -p samples --test preprocess -- --ignored --nocapture`
#[test]
#[ignore = "measures how long a frame of 1280x720 takes on one thread"]
fn a_frame_takes_milliseconds() {
    let (height, width) = (720usize, 1280);
    let pixels: Vec<u8> = (0..height * width * 3).map(|i| (i.wrapping_mul(2654435761) >> 9) as u8).collect();
    let image = Tensor::from_slice(&[1, height, width, 3], &pixels).unwrap();
    let frame =
        Tensor::from_slice(&[1, height / 2 * 3, width, 1], &pixels[..height * width / 2 * 3]).unwrap();
    let bgr = (ColorFormat::Bgr, ColorFormat::Bgr);
    let nv12 = (ColorFormat::Nv12, ColorFormat::Bgr);
    for (algorithm, color, input) in [
        (ResizeAlgorithm::Nearest, bgr, &image),
        (ResizeAlgorithm::Linear, bgr, &image),
        (ResizeAlgorithm::Area, bgr, &image),
        (ResizeAlgorithm::Linear, nv12, &frame),
    ] {
        let mut model = network(ElementType::F32, "[1,3,224,224]", "NCHW");
        let settings = InputSettings {
            element_type: Some(ElementType::U8),
            layout: Some("NHWC".parse().unwrap()),
            resize: Some(algorithm),
            size: Some([Dim::dim(height), Dim::dim(width)]),
            color: Some(color),
            ..InputSettings::default()
        };
        apply_settings(&mut model, &[settings], &[]).unwrap();
        let config = [("PERF_COUNT", "YES"), ("INFERENCE_NUM_THREADS", "1")];
        let config: Config = config.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let compiled = engine::core().compile_model(&model, "CPU", &config).unwrap();
        let mut request = compiled.create_infer_request().unwrap();
        request.set_input(0, HostTensor::from(input)).unwrap();
        let mut best = f64::MAX;
        for _ in 0..20 {
            let start = std::time::Instant::now();
            request.infer().unwrap();
            best = best.min(start.elapsed().as_secs_f64() * 1e3);
        }
        println!("{algorithm:?} {color:?}: {best:.2} ms");
        for row in request.profile().iter().filter(|row| row.status == LayerStatus::Executed) {
            println!("    {} {} {:?}", row.layer_type, row.exec_type, row.real_time);
        }
    }
}
