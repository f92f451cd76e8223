//! Criterion suites, the comparison with peers, and corpora of small networks.

pub mod corpus;
pub mod layer;
pub mod peaks;
