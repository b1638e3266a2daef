//! Named places where a test makes the process die, as if it had been killed there. Nothing in a build without the
//! feature `fail-points`.

/// Ends the process at once when the environment says so: `HOLDFAST_FAIL_POINT=name` dies at the first visit,
/// `name:3` at the third.
#[cfg(feature = "fail-points")]
pub fn fail_point(name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    // Visits of the one fail point that a process is told to die at.
    static VISITS: AtomicU32 = AtomicU32::new(0);
    let Ok(wanted) = std::env::var("HOLDFAST_FAIL_POINT") else { return };
    let (wanted, visit) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if wanted == name && VISITS.fetch_add(1, Ordering::Relaxed) + 1 == visit.parse().unwrap_or(1) {
        eprintln!("fail point {name}");
        // Nothing is flushed and no destructor runs.
        std::process::abort();
    }
}

/// Does nothing.
#[cfg(not(feature = "fail-points"))]
#[inline]
pub fn fail_point(_name: &str) {}
