//! The Model Optimizer: binaries mo and freeze_graph.
