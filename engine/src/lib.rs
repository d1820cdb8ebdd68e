//! The engine of Heyi: it decides what may happen in a case, and keeps what happened.
//!
//! The pure part knows no database, clock, network or chance, and no word of medicine: `definition` reads workflow
//! files, `guard` and `value` are their expressions, `calendar` counts days, `case` decides. With the feature `store`
//! come the database and the one door, `Engine::submit`.

pub mod calendar;
pub mod case;
pub mod definition;
pub mod graph;
pub mod guard;
pub mod ids;
#[cfg(feature = "store")]
pub mod library;
#[cfg(feature = "store")]
pub mod measures;
pub mod merkle;
#[cfg(feature = "store")]
pub mod proof;
pub mod scenario;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "store")]
pub mod submit;
pub mod value;
pub mod yaml;
