//! The evaluator against what was written down without it: the decision vectors of tests/data/decisions, and a second,
//! naive evaluator on random policies. Read next: `vectors.rs`, `naive.rs`, `differential.rs`.

mod ask;
mod differential;
mod naive;
mod random;
mod vectors;
