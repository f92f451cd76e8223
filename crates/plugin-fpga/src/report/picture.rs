//! The schedule as a picture: who works when, as SVG.

use super::Report;
use crate::timing::{Bound, Lane, LayerEstimate};
use std::fmt::Write;

/// Points of the picture's width for time, and beside it for names.
const WIDTH: f64 = 1600.0;
const MARGIN: f64 = 90.0;
/// Points of a lane's height.
const HEIGHT: f64 = 46.0;

const LANES: [(Lane, &str); 3] =
    [(Lane::Array, "array"), (Lane::Filters, "DDR filters"), (Lane::Features, "DDR features")];

fn colour(bound: Bound) -> &'static str {
    match bound {
        Bound::Compute => "#4c78a8",
        Bound::Auxiliary => "#f58518",
        Bound::Filters => "#e45756",
        Bound::Features => "#b279a2",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Report<'_> {
    /// Lanes over time; the colour of a layer is the bound that it meets. A layer's name shows under the pointer.
    pub fn picture(&self) -> String {
        let clock = self.estimate.clock_mhz;
        let scale = WIDTH / self.estimate.cycles.max(1) as f64;
        let nameless = LayerEstimate::default();
        let mut svg = String::new();
        let (width, height) = (WIDTH + MARGIN + 20.0, 4.0 * HEIGHT + 60.0);
        let mut line = |text: String| _ = writeln!(svg, "{text}");
        line(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"12\">"
        ));
        line("<rect width=\"100%\" height=\"100%\" fill=\"white\"/>".to_owned());
        line(format!(
            "<text x=\"{MARGIN}\" y=\"16\">{}: {} cycles, {:.1} us at {clock} MHz, by a cycle model</text>",
            escaped(&self.program.architecture),
            self.estimate.cycles,
            self.estimate.cycles as f64 / clock,
        ));
        for (i, (lane, name)) in LANES.into_iter().enumerate() {
            let y = 28.0 + i as f64 * HEIGHT;
            line(format!("<text x=\"4\" y=\"{:.1}\">{name}</text>", y + HEIGHT / 2.0));
            for span in self.estimate.spans.iter().filter(|span| span.lane == lane) {
                let layer = self.estimate.layers.get(usize::from(span.layer)).unwrap_or(&nameless);
                let x = MARGIN + span.cycles.start as f64 * scale;
                let length = (span.cycles.end - span.cycles.start) as f64 * scale;
                line(format!(
                    "<rect x=\"{x:.2}\" y=\"{y:.1}\" width=\"{:.2}\" height=\"{:.1}\" fill=\"{}\" stroke=\"white\" \
                     stroke-width=\"0.3\"><title>{} ({}): cycles {} to {}</title></rect>",
                    length.max(0.2),
                    HEIGHT - 6.0,
                    colour(layer.bound()),
                    escaped(&layer.name),
                    layer.bound().name(),
                    span.cycles.start,
                    span.cycles.end,
                ));
            }
        }
        let y = 34.0 + 3.0 * HEIGHT;
        for tick in 0..=10 {
            let x = MARGIN + WIDTH * f64::from(tick) / 10.0;
            let us = self.estimate.cycles as f64 / clock * f64::from(tick) / 10.0;
            line(format!("<line x1=\"{x}\" y1=\"28\" x2=\"{x}\" y2=\"{y:.1}\" stroke=\"#ccc\"/>"));
            line(format!("<text x=\"{x}\" y=\"{:.1}\" text-anchor=\"middle\">{us:.0} us</text>", y + 14.0));
        }
        for (i, bound) in
            [Bound::Compute, Bound::Auxiliary, Bound::Filters, Bound::Features].into_iter().enumerate()
        {
            let x = MARGIN + 130.0 * i as f64;
            let (top, base) = (y + 24.0, y + 34.0);
            line(format!(
                "<rect x=\"{x}\" y=\"{top:.1}\" width=\"12\" height=\"12\" fill=\"{}\"/>",
                colour(bound)
            ));
            line(format!("<text x=\"{}\" y=\"{base:.1}\">{}</text>", x + 18.0, bound.name()));
        }
        line("</svg>".to_owned());
        svg
    }
}
