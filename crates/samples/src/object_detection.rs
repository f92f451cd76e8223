//! `object_detection_sample_ssd`: images in, boxes out, printed and drawn.

use crate::{
    argv,
    detection::{self, Decoder, Detection},
    image_input::ImageInput,
    image_sample::{ImageSampleArgs, Opening},
    images::{self, Image},
    printout,
};
use anyhow::{Context, Result};
use clap::{ArgAction, Parser};
use runtime::Config;
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// Finds objects in images with an SSD network, and draws them.
#[derive(Parser, Debug)]
#[command(name = "object_detection_sample_ssd", version, disable_help_flag = true)]
struct Args {
    /// Prints this text and ends.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    sample: ImageSampleArgs,
}

/// Boxes that are surer than this are drawn.
const DRAWN: f32 = 0.5;

/// The whole program, from the command line to the exit code.
pub fn main() -> ExitCode {
    argv::main(run)
}

fn run(args: &Args) -> Result<()> {
    let Opening { files, core, mut model } = args.sample.open()?;

    println!("[ INFO ] Preparing input blobs");
    let input = ImageInput::open(&mut model)?;
    let decoder = Decoder::rows(&model)?;
    let fitted = input.load(&files)?;
    let batch = input.set_batch(&mut model, &fitted, |_| true)?;
    println!("[ INFO ] Batch size is {batch}");

    println!("[ INFO ] Preparing output blobs\n[ INFO ] Loading model to the plugin");
    let mut config = Config::new();
    if args.sample.pc {
        config.insert("PERF_COUNT".into(), "YES".into());
    }
    let compiled = core.compile_model(&model, &args.sample.engine.d, &config)?;
    let mut request = compiled.create_infer_request()?;
    detection::fill_image_info(&mut request, &compiled, &input, (fitted[0].width, fitted[0].height))?;

    println!("[ INFO ] Start inference ({} iterations)", args.sample.ni);
    let mut time = Duration::ZERO;
    let mut found = Vec::new();
    for group in fitted.chunks(batch) {
        request.set_input(input.index, input.tensor(&compiled, group)?)?;
        let start = Instant::now();
        for _ in 0..args.sample.ni {
            request.infer()?;
        }
        time += start.elapsed();
        found.push(decoder.decode(&request)?);
    }

    println!("[ INFO ] Processing output blobs");
    // In colour whatever the network takes, and in their own size.
    let mut pictures = Vec::new();
    for file in &files {
        pictures.extend(images::read(file, 3)?);
    }
    for (group, found) in pictures.chunks_mut(batch).zip(&found) {
        for (number, one) in found.iter().enumerate() {
            // Places of the batch without an image have detections too.
            if let Some(picture) = group.get_mut(one.image) {
                show(number, one, picture);
            }
        }
    }
    for (number, picture) in pictures.iter().enumerate() {
        let name = format!("out_{number}.bmp");
        picture.save(name.as_ref())?;
        println!("[ INFO ] Image {name} created!");
    }
    let inferences = found.len() * args.sample.ni as usize;
    println!("{}", printout::times(time, inferences, batch));
    if args.sample.pc {
        println!("{}", printout::performance_counts(&request.profile()));
    }
    println!("[ INFO ] Execution successful");
    Ok(())
}

/// Prints a detection, and draws it if it is sure enough.
fn show(number: usize, one: &Detection, picture: &mut Image) {
    let sizes = [picture.width, picture.height, picture.width, picture.height];
    let corners: [i64; 4] = std::array::from_fn(|i| (f64::from(one.corners[i]) * sizes[i] as f64) as i64);
    let [left, top, right, bottom] = corners;
    let drawn = one.confidence > DRAWN;
    println!(
        "[{number},{}] element, prob = {:.6}    ({left},{top})-({right},{bottom}) batch id : {}{}",
        one.class,
        one.confidence,
        one.image,
        if drawn { " WILL BE PRINTED!" } else { "" }
    );
    if drawn {
        picture.draw_box(corners, colour(one.class));
    }
}

/// A bright colour of the class, BGR: hues a golden section apart stay apart for any number of classes.
fn colour(class: usize) -> [u8; 3] {
    let hue = (class as f64 * 0.618_034).fract() * 6.0;
    let channel = |shift: f64| {
        let away = ((hue + shift) % 6.0 - 3.0).abs();
        ((away - 1.0).clamp(0.0, 1.0) * 255.0) as u8
    };
    [channel(2.0), channel(4.0), channel(0.0)]
}

impl Image {
    /// Draws a frame, two pixels wide, over left, top, right and bottom; what lies outside is left out.
    fn draw_box(&mut self, [left, top, right, bottom]: [i64; 4], colour: [u8; 3]) {
        const WIDTH: i64 = 2;
        let (last_x, last_y) = (self.width as i64 - 1, self.height as i64 - 1);
        for y in top.max(0)..=bottom.min(last_y) {
            for x in left.max(0)..=right.min(last_x) {
                let edges = [(x, left), (right, x), (y, top), (bottom, y)];
                let edge = edges.into_iter().any(|(a, b)| a.saturating_sub(b) < WIDTH);
                if edge {
                    let at = (y as usize * self.width + x as usize) * self.channels;
                    self.pixels[at..at + 3].copy_from_slice(&colour);
                }
            }
        }
    }

    /// Writes a colour image in the format that the name's extension says.
    fn save(&self, path: &std::path::Path) -> Result<()> {
        let rgb: Vec<u8> = self.pixels.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
        let (width, height) = (self.width as u32, self.height as u32);
        image::save_buffer(path, &rgb, width, height, image::ExtendedColorType::Rgb8)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_stay_within_the_image() {
        let mut image = Image { path: "a".into(), width: 8, height: 7, channels: 3, pixels: vec![0; 168] };
        image.draw_box([-3, 1, 5, 20], [1, 2, 3]);
        let drawn: Vec<String> = image
            .pixels
            .chunks_exact(24)
            .map(|row| row.chunks_exact(3).map(|p| if p == [1, 2, 3] { '#' } else { '.' }).collect())
            .collect();
        assert_eq!(
            drawn,
            ["........", "######..", "######..", "....##..", "....##..", "....##..", "....##.."]
        );
        let before = image.clone();
        image.draw_box([i64::MAX, i64::MIN, i64::MIN, i64::MAX], [9; 3]);
        assert_eq!(image, before, "a box that ends before it begins");
    }

    #[test]
    fn classes_have_colours_of_their_own() {
        let all: std::collections::BTreeSet<[u8; 3]> = (0..21).map(colour).collect();
        assert_eq!(all.len(), 21);
        assert!(all.iter().all(|c| c.contains(&255)));
    }
}
