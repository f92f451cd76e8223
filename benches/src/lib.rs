//! Criterion suites, the comparison with peers, and corpora of small networks.

pub mod corpus;
pub mod work;
