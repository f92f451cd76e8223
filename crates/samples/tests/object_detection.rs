//! `object_detection_sample_ssd` on the detector of the fixtures: what it prints is what it draws.

mod networks;

use networks::{detector, fixtures};
use samples::images;
use std::path::Path;

fn run(folder: &Path, flags: &str) -> Result<String, String> {
    networks::run(env!("CARGO_BIN_EXE_object_detection_sample_ssd"), folder, flags)
}

/// A line `[number,class] element, prob = p    (x,y)-(x,y) batch id : n`, and whether it was drawn.
struct Line {
    confidence: f32,
    corners: [i64; 4],
    image: usize,
    drawn: bool,
}

fn parse(line: &str) -> Option<Line> {
    let (_, rest) = line.strip_prefix('[')?.split_once("] element, prob = ")?;
    let (confidence, rest) = rest.split_once("    (")?;
    let (corners, rest) = rest.split_once(") batch id : ")?;
    let corners: Vec<i64> = corners.replace(")-(", ",").split(',').map(|n| n.parse().unwrap()).collect();
    let (image, drawn) = match rest.split_once(' ') {
        Some((image, words)) => (image, words == "WILL BE PRINTED!"),
        None => (rest, false),
    };
    Some(Line {
        confidence: confidence.parse().unwrap(),
        corners: corners.try_into().unwrap(),
        image: image.parse().unwrap(),
        drawn,
    })
}

#[test]
fn boxes_are_printed_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let model = detector(folder.path(), 20.0);
    let pictures = fixtures("voc/VOC2007/JPEGImages").canonicalize().unwrap();
    let flags = format!("-m {} -i {} -ni 2 -pc", model.display(), pictures.display());
    let text = run(folder.path(), &flags).unwrap();
    let lines: Vec<Line> = text.lines().filter_map(parse).collect();
    assert!(
        text.contains("[ INFO ] Batch size is 7") && text.contains("layerType: DetectionOutput"),
        "{text}"
    );
    assert!(lines.iter().all(|line| line.drawn == (line.confidence > 0.5)));
    assert!(lines.iter().any(|line| line.drawn) && lines.iter().any(|line| !line.drawn));
    let files = images::find(&[pictures]).unwrap();
    for (i, file) in files.iter().enumerate() {
        let name = format!("out_{i}.bmp");
        assert!(text.contains(&format!("[ INFO ] Image {name} created!")), "{text}");
        let before = &images::read(file, 3).unwrap()[0];
        let after = &images::read(&folder.path().join(name), 3).unwrap()[0];
        assert_eq!((before.width, before.height), (after.width, after.height));
        let drawn: Vec<[i64; 4]> =
            lines.iter().filter(|line| line.image == i && line.drawn).map(|line| line.corners).collect();
        // What changed lies on the frames, and something did if there were any.
        let mut changed = 0;
        for y in 0..after.height {
            for x in 0..after.width {
                let at = (y * after.width + x) * 3;
                if before.pixels[at..at + 3] != after.pixels[at..at + 3] {
                    changed += 1;
                    let (x, y) = (x as i64, y as i64);
                    let on = |[left, top, right, bottom]: &[i64; 4]| {
                        (*left..=*right).contains(&x)
                            && (*top..=*bottom).contains(&y)
                            && [x - left, right - x, y - top, bottom - y].into_iter().min() < Some(2)
                    };
                    assert!(drawn.iter().any(on), "({x},{y}) of {} changed", file.display());
                }
            }
        }
        assert_eq!(changed > 0, !drawn.is_empty());
    }
}

#[test]
fn networks_of_another_kind_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| fixtures(name).canonicalize().unwrap().display().to_string();
    let image = file("voc/VOC2007/JPEGImages/000000.png");
    let digits = file("digits/openvino/digits_fp32.xml");
    let error = run(folder.path(), &format!("-m {digits} -i {image}")).unwrap_err();
    assert!(error.contains("no output has rows of 7 numbers"), "{error}");
    let error = run(folder.path(), &format!("-m {digits}")).unwrap_err();
    assert!(error.contains("-i <PATH>"), "{error}");
}
