//! What the end-to-end tests share: the whole application inside the test ([`app`]), somebody who finds a way through
//! a case by what the API says alone ([`walk`]), the real binary ([`process`]), a scenario played through it ([`play`]), and a
//! throw-away PostgreSQL ([`postgres`]).

pub mod app;
pub mod play;
pub mod postgres;
pub mod process;
pub mod walk;
