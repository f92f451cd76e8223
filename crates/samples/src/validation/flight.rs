//! Images on their way through the network: several requests at a time, while the next images are read.

use crate::{
    detection,
    image_input::ImageInput,
    images::{self, Image},
};
use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use runtime::{CompiledModel, InferRequest};
use std::{
    fmt::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How an image becomes one of the network's size.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Fit {
    /// It must have that size.
    None,
    /// Resized to it.
    Resize,
    /// Resized to this width and height, and the middle of that.
    ResizeCrop(usize, usize),
}

impl Fit {
    /// Fits an image to `(width, height)`.
    pub(super) fn apply(self, image: &Image, (width, height): (usize, usize)) -> Result<Image> {
        match self {
            Self::None => {
                ensure!(
                    (width, height) == (image.width, image.height),
                    "{} has {}x{} pixels, and the network takes {width}x{height}; see -ppType",
                    image.path.display(),
                    image.width,
                    image.height
                );
                Ok(image.clone())
            }
            Self::Resize => Ok(image.resized(width, height)),
            Self::ResizeCrop(between_width, between_height) => {
                ensure!(
                    between_width >= width && between_height >= height,
                    "{between_width}x{between_height} pixels (-ppSize, -ppWidth, -ppHeight) hold no {width}x{height} \
                     to cut out for the network"
                );
                let left = (between_width - width) / 2;
                let top = (between_height - height) / 2;
                Ok(image.resized(between_width, between_height).cropped(left, top, width, height))
            }
        }
    }
}

/// What an image was before it was fitted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Original {
    pub(super) width: usize,
    pub(super) height: usize,
}

/// How long the inferences took.
pub(super) struct Times {
    /// In which at least one was on its way.
    pub(super) busy: Duration,
    pub(super) batches: usize,
}

/// Whoever runs images through a network.
pub(super) struct Flight<'a> {
    pub(super) compiled: &'a CompiledModel,
    pub(super) input: &'a ImageInput,
    pub(super) batch: usize,
    pub(super) fit: Fit,
}

/// A request and what is on its way in it.
struct Slot {
    request: InferRequest,
    /// When its inference ended; told by the callback, not by who notices.
    end: Arc<Mutex<Instant>>,
    flying: Option<(usize, Vec<Original>, Instant)>,
}

impl Flight<'_> {
    /// Runs all images; `answer` gets the number of a batch's first image, what its images were, and the request.
    pub(super) fn run(
        &self,
        paths: &[&Path],
        mut answer: impl FnMut(usize, &[Original], &InferRequest) -> Result<()>,
    ) -> Result<Times> {
        let size = (
            self.input.width.context("the width of the network's input must be known")?,
            self.input.height.context("the height of the network's input must be known")?,
        );
        let best = self.compiled.property("OPTIMAL_NUMBER_OF_INFER_REQUESTS").ok();
        let count = best.and_then(|text| text.parse().ok()).unwrap_or(1usize).max(1);
        let mut slots = Vec::new();
        for _ in 0..count.min(paths.len().div_ceil(self.batch)) {
            let mut request = self.compiled.create_infer_request()?;
            detection::fill_image_info(&mut request, self.compiled, self.input, size)?;
            let end = Arc::new(Mutex::new(Instant::now()));
            let told = end.clone();
            request.set_callback(move |_| {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            })?;
            slots.push(Slot { request, end, flying: None });
        }
        let bar = bar(paths.len() as u64);
        let mut spans = Vec::new();
        let mut land = |slot: &mut Slot| -> Result<()> {
            let Some((first, originals, start)) = slot.flying.take() else { return Ok(()) };
            slot.request.wait()?;
            spans.push((start, *slot.end.lock().unwrap_or_else(PoisonError::into_inner)));
            answer(first, &originals, &slot.request)?;
            bar.inc(originals.len() as u64);
            Ok(())
        };
        for (number, group) in paths.chunks(self.batch).enumerate() {
            let (mut images, mut originals) = (Vec::new(), Vec::new());
            for path in group {
                let read = images::read(path, self.input.channels)?;
                let [image] = read.as_slice() else {
                    anyhow::bail!("{} holds {} images; one a file is looked at", path.display(), read.len())
                };
                images.push(self.fit.apply(image, size)?);
                originals.push(Original { width: image.width, height: image.height });
            }
            let tensor = self.input.tensor(self.compiled, &images)?;
            let turn = number % slots.len();
            land(&mut slots[turn])?;
            let slot = &mut slots[turn];
            slot.request.set_input(self.input.index, tensor)?;
            let start = Instant::now();
            slot.request.start_async()?;
            slot.flying = Some((number * self.batch, originals, start));
        }
        // The oldest first, so that answers come in the order of the images.
        slots.sort_by_key(|slot| slot.flying.as_ref().map(|(first, ..)| *first));
        slots.iter_mut().try_for_each(&mut land)?;
        bar.finish_and_clear();
        println!("Progress: [....................] 100.00% done");
        Ok(Times { batches: spans.len(), busy: union(spans) })
    }
}

/// The time that at least one of the spans covers.
fn union(mut spans: Vec<(Instant, Instant)>) -> Duration {
    spans.sort();
    let mut covered = Duration::ZERO;
    let mut until: Option<Instant> = None;
    for (start, end) in spans {
        let from = until.map_or(start, |until| start.max(until));
        covered += end.saturating_duration_since(from);
        until = Some(until.map_or(end, |until| end.max(until)));
    }
    covered
}

/// The bar of 2018 on terminals; elsewhere it draws nothing.
fn bar(images: u64) -> ProgressBar {
    let percent = |state: &ProgressState, line: &mut dyn Write| {
        _ = write!(line, "{:.2}", state.fraction() * 100.0);
    };
    let style = ProgressStyle::with_template("Progress: [{bar:20}] {percent2}% done")
        .expect("a template")
        .with_key("percent2", percent)
        .progress_chars(". ");
    ProgressBar::new(images).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_spans_share_counts_once() {
        let zero = Instant::now();
        let at = |ms: u64| zero + Duration::from_millis(ms);
        let spans = vec![(at(20), at(30)), (at(0), at(10)), (at(5), at(12)), (at(6), at(8))];
        assert_eq!(union(spans), Duration::from_millis(22));
        assert_eq!(union(vec![]), Duration::ZERO);
    }

    #[test]
    fn images_are_fitted() {
        let pixels: Vec<u8> = (0..12).collect();
        let image = Image { path: "a".into(), width: 4, height: 3, channels: 1, pixels };
        assert_eq!(Fit::ResizeCrop(4, 3).apply(&image, (2, 1)).unwrap().pixels, [5, 6]);
        assert_eq!(Fit::Resize.apply(&image, (4, 3)).unwrap(), image);
        assert!(Fit::None.apply(&image, (4, 2)).is_err());
        assert!(Fit::ResizeCrop(3, 3).apply(&image, (4, 3)).is_err());
    }
}
