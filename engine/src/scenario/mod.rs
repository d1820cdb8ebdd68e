//! Scenarios: given, when, then, with dates and people. They are the workflow's tests, the demo and the training
//! material; each step takes the same road as a person's command.
//!
//! `file` is their shape, `play` plays them through a [`Door`]; [`MemoryDoor`] is the pure one, without a database.
//! `rehearsal` plays a whole scenario there, `record` writes down exactly what it did, `coverage` counts what scenarios
//! take of their workflow, `find` makes a play that shows what a check has found.

pub mod coverage;
pub mod file;
pub mod find;
mod memory;
pub mod play;
pub mod record;
pub mod rehearsal;

pub use coverage::Coverage;
pub use file::{Cast, Scenario};
pub use memory::MemoryDoor;
pub use play::{Door, FileToStore, Played, Player, Request, StepReport};
pub use rehearsal::Rehearsal;
