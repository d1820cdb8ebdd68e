//! What the end-to-end tests share: the whole application inside the test ([`app`]), somebody who finds a way through
//! a case by what the API says alone ([`walk`]), and the real binary ([`process`]).

pub mod app;
pub mod process;
pub mod walk;
