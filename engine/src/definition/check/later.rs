use crate::definition::compile::*;
use crate::definition::file::*;
use crate::guard::Guard;
pub fn at_most(_: &Transition) -> Option<u32> { None }
pub fn affects(_: &Transition) -> Option<&[String]> { None }
pub fn apart_from(_: &SeatDef) -> &[String] { &[] }
pub fn indefinite(_: &StateDef) -> bool { false }
pub fn tells(_: &Deadline) -> Option<&str> { None }
pub struct RightDef { pub of: String, pub in_: Names, pub by: Vec<String>, pub actions: Vec<String> }
pub fn rights(_: &Definition) -> Vec<(&str, &RightDef)> { Vec::new() }
pub fn always(_: &Definition) -> Vec<(&str, &Guard)> { Vec::new() }
