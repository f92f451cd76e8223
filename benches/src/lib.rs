//! Criterion suites and the comparison with peers.
