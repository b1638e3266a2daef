//! What the fuzz targets share: the promises, and the store that the sidecar and the engine stand on.

pub mod checks;
#[path = "../tests/model/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the store of the tests; fuzzing asks less of it")]
mod model;
