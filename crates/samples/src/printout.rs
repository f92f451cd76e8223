//! The printouts that OpenVINO's users, and their scripts, know.

use runtime::{LayerStatus, ProfileRow};
use std::{fmt::Write, path::Path};

/// The classes of one image, most probable first: (class, probability).
pub fn top_classes(probabilities: &[f32], count: usize) -> Vec<(usize, f32)> {
    let mut ranked: Vec<(usize, f32)> = probabilities.iter().copied().enumerate().collect();
    // Equal probabilities: the lower class first, as a stable sort gives it.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked.truncate(count);
    ranked
}

/// The table of one image: `classid probability label`.
pub fn class_table(image: &Path, classes: &[(usize, f32)], labels: Option<&[String]>) -> String {
    let mut text = format!("Image {}\n\n", image.display());
    text.push_str(if labels.is_some() { "classid probability label\n" } else { "classid probability\n" });
    text.push_str(if labels.is_some() { "------- ----------- -----\n" } else { "------- -----------\n" });
    for (class, probability) in classes {
        let label = labels.and_then(|l| l.get(*class)).map_or("", String::as_str);
        let line = format!("{class:<7} {probability:<11.7} {label}");
        writeln!(text, "{}", line.trim_end()).expect("a string takes all");
    }
    text
}

/// The performance counts: one row a layer, and the total of the clock times.
pub fn performance_counts(rows: &[ProfileRow]) -> String {
    let mut text = "performance counts:\n\n".to_owned();
    let mut total = 0;
    for row in rows {
        let status = match row.status {
            LayerStatus::Executed => "EXECUTED",
            LayerStatus::NotRun => "NOT_RUN",
            LayerStatus::OptimizedOut => "OPTIMIZED_OUT",
        };
        let real = row.real_time.as_micros();
        total += real;
        writeln!(
            text,
            "{:<30}{status:<15}{:<30}{:<20}{:<20} execType: {}",
            short_name(&row.name),
            format!("layerType: {} ", row.layer_type),
            format!("realTime: {real}"),
            format!("cpu: {}", row.cpu_time.as_micros()),
            row.exec_type
        )
        .expect("a string takes all");
    }
    writeln!(text, "{:<20} microseconds", format!("Total time: {total}")).expect("a string takes all");
    text
}

/// A name that fits its column.
fn short_name(name: &str) -> String {
    if name.chars().count() < 30 {
        return name.to_owned();
    }
    name.chars().take(26).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn classes_are_ranked_and_aligned() {
        let classes = top_classes(&[0.1, 0.7, 0.1, f32::NAN], 3);
        assert_eq!(classes[1..], [(1, 0.7), (0, 0.1)]);
        let labels: Vec<String> = ["zero", "one"].map(String::from).to_vec();
        let table = class_table(Path::new("a.png"), &[(1, 0.7), (9, 0.1)], Some(&labels));
        let expected = "Image a.png\n\nclassid probability label\n------- ----------- -----\n\
                        1       0.7000000   one\n9       0.1000000\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn counts_keep_their_columns() {
        let row = ProfileRow {
            name: "conv".into(),
            status: LayerStatus::Executed,
            layer_type: "Convolution".into(),
            exec_type: "ref".into(),
            real_time: Duration::from_micros(12),
            cpu_time: Duration::from_micros(11),
        };
        let long = ProfileRow { name: "n".repeat(31), status: LayerStatus::OptimizedOut, ..row.clone() };
        let text = performance_counts(&[row, long]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(&lines[2][30..39], "EXECUTED ");
        assert!(lines[3].starts_with(&format!("{}... OPTIMIZED_OUT", "n".repeat(26))), "{}", lines[3]);
        assert!(text.ends_with("Total time: 24       microseconds\n"), "{text}");
    }
}
