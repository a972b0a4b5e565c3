//! Random bytes for names, tokens and uids, from the kernel (getrandom(2)).

use rustix::io::retry_on_intr;
use std::io;

/// Random bytes in hand. Whoever asks once gets what it asks for from the kernel; who asks again will do so a third time.
/// Nothing forks and goes on with them: a job is another program.
pub(super) struct Random {
    asked: bool,
    bytes: [u8; 256],
    /// How many of them nobody has had: the first ones.
    left: usize,
}

impl Default for Random {
    fn default() -> Random {
        Random { asked: false, bytes: [0; 256], left: 0 }
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Random({} left)", self.left)
    }
}

impl Random {
    pub fn take(&mut self, into: &mut [u8]) -> io::Result<()> {
        if self.left < into.len() && self.asked && into.len() <= self.bytes.len() {
            self.left = 0;
            from_kernel(&mut self.bytes)?;
            self.left = self.bytes.len();
        }
        self.asked = true;
        let Some(left) = self.left.checked_sub(into.len()) else { return from_kernel(into) };
        into.copy_from_slice(&self.bytes[left..self.left]);
        // What was given out is a secret of whoever has it.
        self.bytes[left..self.left].fill(0);
        self.left = left;
        Ok(())
    }
}

fn from_kernel(into: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < into.len() {
        done += retry_on_intr(|| rustix::rand::getrandom(&mut into[done..], rustix::rand::GetRandomFlags::empty()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_random_bytes_are_given_out_twice() {
        let mut random = Random::default();
        let mut given = std::collections::HashSet::new();
        for length in (0..100).map(|round| [16, 16, 32, 16, 300, 256, 1, 16][round % 8]) {
            let mut bytes = vec![0; length];
            random.take(&mut bytes).unwrap();
            for chunk in bytes.chunks(16).filter(|chunk| chunk.len() == 16) {
                assert!(given.insert(chunk.to_vec()), "{chunk:?} came twice");
            }
            assert!(random.bytes[random.left..].iter().all(|&byte| byte == 0));
        }
    }
}
