//! What of a network is there at inference: rules of phases, levels and stages, and what belongs to training alone.

use crate::{
    layer::is_input,
    message::{Message, Value},
    upgrade::Layer,
};
use std::collections::HashSet;

/// The state that layers are included for: always the phase TEST.
#[derive(Debug, Default)]
pub(crate) struct State {
    level: i64,
    stages: Vec<String>,
}

impl State {
    /// What the network says of itself.
    pub(crate) fn of(net: &Message) -> Self {
        let Some(state) = net.messages("state").last() else { return Self::default() };
        let level = state.last("level").and_then(|level| level.value.integer()).unwrap_or(0);
        Self { level, stages: state.texts("stage").map(str::to_owned).collect() }
    }

    fn meets(&self, rule: &Message) -> bool {
        let bound = |name: &str| rule.last(name).and_then(|field| field.value.integer());
        rule.last("phase").is_none_or(|phase| is_test(&phase.value))
            && bound("min_level").is_none_or(|least| self.level >= least)
            && bound("max_level").is_none_or(|greatest| self.level <= greatest)
            && rule.texts("stage").all(|stage| self.stages.iter().any(|own| own == stage))
            && !rule.texts("not_stage").any(|stage| self.stages.iter().any(|own| own == stage))
    }

    fn includes(&self, layer: &Layer) -> bool {
        let mut include = layer.params.messages("include").peekable();
        let included = include.peek().is_none() || include.any(|rule| self.meets(rule));
        let excluded = layer.params.messages("exclude").any(|rule| self.meets(rule));
        let phase = layer.params.last("phase").is_none_or(|phase| is_test(&phase.value));
        included && !excluded && phase
    }
}

fn is_test(phase: &Value) -> bool {
    phase.integer() == Some(1) || phase.text() == Some("TEST")
}

/// Keeps the layers of an inference. Data of training stays where nothing else makes the blobs that layers take: so
/// it is in a caffemodel, which holds the network as it was trained.
pub(crate) fn keep(layers: &mut Vec<Layer>, state: &State, notes: &mut Vec<String>) {
    let mut kept: Vec<bool> = layers.iter().map(|layer| state.includes(layer)).collect();
    let made: HashSet<&str> = layers
        .iter()
        .zip(&kept)
        .filter(|(_, kept)| **kept)
        .flat_map(|(l, _)| &l.tops)
        .map(String::as_str)
        .collect();
    let taken: HashSet<&str> = layers
        .iter()
        .zip(&kept)
        .filter(|(_, kept)| **kept)
        .flat_map(|(l, _)| &l.bottoms)
        .map(String::as_str)
        .collect();
    for (layer, kept) in layers.iter().zip(&mut kept) {
        let is_needed = |top: &String| taken.contains(top.as_str()) && !made.contains(top.as_str());
        if !*kept && is_input(&layer.kind) && layer.tops.iter().any(is_needed) {
            *kept = true;
            notes.push(format!("{} belongs to training; it stays as an input", layer.site()));
        }
    }
    let mut kept = kept.into_iter();
    layers.retain(|_| kept.next().unwrap_or(true));
    for layer in layers {
        layer.params.fields.retain(|field| !matches!(&*field.name, "include" | "exclude" | "phase"));
    }
}

/// Losses that compare with labels, after a function that an inference wants: the layer becomes that function.
const LOSSES: &[(&str, &str)] = &[
    ("SoftmaxWithLoss", "Softmax"),
    ("SoftmaxLoss", "Softmax"),
    ("SoftmaxWithLossOHEM", "Softmax"),
    ("SigmoidCrossEntropyLoss", "Sigmoid"),
];

/// What only training and its evaluation need.
const TRAINING: &[&str] = &[
    "Accuracy",
    "ContrastiveLoss",
    "DetectionEvaluate",
    "EuclideanLoss",
    "HDF5Output",
    "HingeLoss",
    "InfogainLoss",
    "MultiBoxLoss",
    "MultinomialLogisticLoss",
    "SmoothL1Loss",
    "SmoothL1LossOHEM",
    "CenterLoss",
    "TripletLoss",
    "WarpCTC",
    "CTCLoss",
];

/// Drops what belongs to training, turns losses into what they compute of their data.
pub(crate) fn drop_training(layers: &mut Vec<Layer>, notes: &mut Vec<String>) {
    layers.retain(|layer| {
        let stays = !TRAINING.contains(&layer.kind.as_str());
        if !stays {
            notes.push(format!("{} belongs to training and was left out", layer.site()));
        }
        stays
    });
    for layer in layers {
        if let Some((_, becomes)) = LOSSES.iter().find(|(loss, _)| *loss == layer.kind) {
            notes.push(format!("{} became a {becomes}", layer.site()));
            layer.kind = (*becomes).to_owned();
            layer.bottoms.truncate(1);
            // The loss has a top by default, without a name in the file.
            layer.tops.truncate(1);
            if layer.tops.is_empty() {
                layer.tops.push(layer.name.clone());
            }
            layer.params.fields.retain(|field| !matches!(&*field.name, "loss_param" | "loss_weight"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{text, upgrade};

    fn kept(text: &str) -> (Vec<String>, Vec<String>) {
        let tree = text::parse(text.as_bytes()).unwrap();
        let state = State::of(&tree);
        let mut layers = upgrade::layers(tree).unwrap();
        let mut notes = Vec::new();
        keep(&mut layers, &state, &mut notes);
        drop_training(&mut layers, &mut notes);
        (layers.into_iter().map(|layer| layer.name).collect(), notes)
    }

    #[test]
    fn layers_are_there_by_phase_level_and_stage() {
        let (names, _) = kept(
            "state { level: 2 stage: 'deploy' stage: 'fast' }
             layer { name: 'a' type: 'X' include { phase: TRAIN } }
             layer { name: 'b' type: 'X' include { phase: TEST } }
             layer { name: 'c' type: 'X' include { phase: TRAIN } include { stage: 'deploy' } }
             layer { name: 'd' type: 'X' exclude { phase: TEST } }
             layer { name: 'e' type: 'X' exclude { phase: 0 } }
             layer { name: 'f' type: 'X' include { min_level: 3 } }
             layer { name: 'g' type: 'X' include { min_level: 1 max_level: 2 } }
             layer { name: 'h' type: 'X' include { stage: 'deploy' not_stage: 'fast' } }
             layer { name: 'i' type: 'X' include { stage: 'deploy' stage: 'slow' } }
             layer { name: 'j' type: 'X' phase: TRAIN }
             layer { name: 'k' type: 'X' }",
        );
        assert_eq!(names, ["b", "c", "e", "g", "k"]);
    }

    #[test]
    fn data_of_training_stays_where_nothing_else_makes_it() {
        let train = "layer { name: 'train' type: 'Data' top: 'data' top: 'label' include { phase: TRAIN } }";
        let body = "layer { name: 'r' type: 'ReLU' bottom: 'data' top: 'r' }
             layer { name: 'acc' type: 'Accuracy' bottom: 'r' bottom: 'label' top: 'acc' }
             layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'r' bottom: 'label' }";
        let (names, notes) = kept(&format!("{train}{body}"));
        assert_eq!(names, ["train", "r", "loss"]);
        assert_eq!(notes.len(), 3, "{notes:?}");
        let test = "layer { name: 'test' type: 'Data' top: 'data' top: 'label' include { phase: TEST } }";
        assert_eq!(kept(&format!("{train}{test}{body}")).0, ["test", "r", "loss"]);
    }
}
