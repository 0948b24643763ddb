//! What the benchmarks of this repository share: processes under load, the load, the table.

pub mod load;
pub mod process;
pub mod table;
