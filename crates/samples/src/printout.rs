//! The printouts that OpenVINO's users, and their scripts, know.

use runtime::{LayerStatus, ProfileRow};
use std::{
    fmt::{self, Write},
    path::Path,
    time::Duration,
};

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
        let status = status_word(row.status);
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

/// How long inferences took, together and each.
pub fn times(total: Duration, inferences: usize, batch: usize) -> String {
    let total = total.as_secs_f64() * 1e3;
    let one = total / inferences as f64;
    let rate = 1e3 * batch as f64 / one;
    format!(
        "\ntotal inference time: {total:.7}\nAverage running time of one iteration: {one:.7} ms\n\n\
         Throughput: {rate:.7} FPS\n"
    )
}

/// What became of a layer, in OpenVINO's words.
pub fn status_word(status: LayerStatus) -> &'static str {
    match status {
        LayerStatus::Executed => "EXECUTED",
        LayerStatus::NotRun => "NOT_RUN",
        LayerStatus::OptimizedOut => "OPTIMIZED_OUT",
    }
}

/// The performance counts of several inferences, in the columns of OpenVINO's `benchmark_app`: times are averages.
#[derive(Default)]
pub struct AverageCounts {
    /// Rows whose times are sums.
    sums: Vec<ProfileRow>,
    inferences: u32,
}

impl AverageCounts {
    /// Adds an inference.
    pub fn add(&mut self, rows: Vec<ProfileRow>) {
        // Another shape may have another plan, so other layers: those count from there on.
        let same = |(a, b): (&ProfileRow, &ProfileRow)| a.name == b.name && a.exec_type == b.exec_type;
        if self.sums.len() != rows.len() || !self.sums.iter().zip(&rows).all(same) {
            *self = Self { sums: rows, inferences: 1 };
            return;
        }
        for (sum, row) in self.sums.iter_mut().zip(rows) {
            sum.real_time += row.real_time;
            sum.cpu_time += row.cpu_time;
        }
        self.inferences += 1;
    }

    /// The layers with their average times.
    pub fn rows(&self) -> Vec<ProfileRow> {
        let mean = |row: &ProfileRow| ProfileRow {
            real_time: row.real_time / self.inferences.max(1),
            cpu_time: row.cpu_time / self.inferences.max(1),
            ..row.clone()
        };
        self.sums.iter().map(mean).collect()
    }

    /// How many inferences the averages are of.
    pub fn inferences(&self) -> u32 {
        self.inferences
    }
}

impl fmt::Display for AverageCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(self.inferences.max(1));
        for row in &self.sums {
            writeln!(
                f,
                "{:<30} {:<15} layerType: {:<20} execType: {:<25} realTime (ms): {:<10.3} cpuTime (ms): {:<10.3}",
                short_name(&row.name),
                status_word(row.status),
                row.layer_type,
                row.exec_type,
                ms(row.real_time),
                ms(row.cpu_time)
            )?;
        }
        let total = |of: fn(&ProfileRow) -> Duration| ms(self.sums.iter().map(of).sum());
        writeln!(f, "Total time:     {:.3} milliseconds", total(|row| row.real_time))?;
        writeln!(f, "Total CPU time: {:.3} milliseconds", total(|row| row.cpu_time))
    }
}

/// A name that fits its column. What HETERO puts before it, `subgraph0: `, stands before the column.
pub fn short_name(name: &str) -> String {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let parts = name.split_once(": ");
    match parts.filter(|(before, _)| before.strip_prefix("subgraph").is_some_and(is_number)) {
        Some((before, own)) => format!("{before}: {:<30}", cut(own)),
        None => cut(name),
    }
}

fn cut(name: &str) -> String {
    if name.chars().count() < 30 {
        return name.to_owned();
    }
    name.chars().take(26).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            span: None,
        };
        let long = ProfileRow { name: "n".repeat(31), status: LayerStatus::OptimizedOut, ..row.clone() };
        let text = performance_counts(&[row, long]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(&lines[2][30..39], "EXECUTED ");
        assert!(lines[3].starts_with(&format!("{}... OPTIMIZED_OUT", "n".repeat(26))), "{}", lines[3]);
        assert!(text.ends_with("Total time: 24       microseconds\n"), "{text}");
    }

    #[test]
    fn subgraphs_stand_before_the_column() {
        assert_eq!(short_name("subgraph2: conv"), format!("subgraph2: {:<30}", "conv"));
        let long = format!("subgraph0: {}", "n".repeat(31));
        assert_eq!(short_name(&long), format!("subgraph0: {}... ", "n".repeat(26)));
        assert_eq!(short_name("subgraph: conv"), "subgraph: conv");
        assert_eq!(short_name("a: b"), "a: b");
    }

    #[test]
    fn counts_are_averaged() {
        let row = |us| ProfileRow {
            name: "conv".into(),
            status: LayerStatus::Executed,
            layer_type: "Convolution".into(),
            exec_type: "ref".into(),
            real_time: Duration::from_micros(us),
            cpu_time: Duration::from_micros(2 * us),
            span: None,
        };
        let mut counts = AverageCounts::default();
        [1000, 2000, 6000].into_iter().for_each(|us| counts.add(vec![row(us)]));
        let text = counts.to_string();
        assert_eq!(counts.inferences(), 3);
        assert!(text.contains("realTime (ms): 3.000      cpuTime (ms): 6.000"), "{text}");
        assert!(
            text.ends_with("Total time:     3.000 milliseconds\nTotal CPU time: 6.000 milliseconds\n"),
            "{text}"
        );
        counts.add(vec![row(1), row(1)]);
        assert_eq!(counts.inferences(), 1, "another plan begins anew");
    }
}
