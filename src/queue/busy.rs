//! The one way to wait for somebody who has the lock of a file and is in the middle of a few calls on it.

use std::time::Duration;

/// Passes a moment before the next look, of which there are never more than a few. To wait for the lock itself would be to
/// wait for the end of a job: whoever claims keeps it. And no event tells that a file has left its directory for another.
pub(super) fn a_moment() {
    std::thread::sleep(Duration::from_millis(1));
}
