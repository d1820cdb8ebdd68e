//! Planted exits, so that tests can kill the process at a chosen moment. Only in debug builds; a release has none.

/// How SQLite syncs: `FULL`, or what a planted fault says (`HEYI_FAULT=synchronous:NORMAL`), so that the test of
/// power cuts can show what it would find.
#[must_use]
pub fn synchronous() -> &'static str {
    #[cfg(debug_assertions)]
    if std::env::var("HEYI_FAULT").is_ok_and(|plan| plan == "synchronous:NORMAL") {
        return "NORMAL";
    }
    "FULL"
}

/// Counts down at a named moment, and ends the process when its turn has come.
///
/// `HEYI_FAULT=commit:17` ends it right after the seventeenth commit. Moments: `commit`, `mail_written`.
pub fn point(moment: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        use std::sync::atomic::{AtomicI64, Ordering};
        static PLAN: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
        let plan = PLAN.get_or_init(|| {
            let plan = std::env::var("HEYI_FAULT").ok()?;
            let (name, count) = plan.split_once(':')?;
            Some((name.to_owned(), AtomicI64::new(count.parse().ok()?)))
        });
        if let Some((name, left)) = plan
            && name == moment
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            std::process::exit(86);
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = moment;
}
