//! The names of a bucket, as one claimer goes through them while others do the same.

use std::collections::VecDeque;

/// So many names in a row that are gone may be chance; after them somebody else is at work ahead of us.
const TRIES: u32 = 2;
/// No more names are passed over at once.
const GAP_MOST: usize = 64;

/// Names that were listed, oldest first. Where several claimers go through one bucket, each finds gone what the others took:
/// of 64 claimers, each would try 63 names for one. So who finds one name after the other gone passes over some, and over
/// twice as many the next time, until one is there (Bentley and Yao, An almost optimal algorithm for unbounded searching,
/// 1976). Those passed over last come next, in their order; those before are taken to be gone too, and the next list tells.
#[derive(Debug, Default)]
pub(super) struct Names {
    ahead: VecDeque<String>,
    /// Older than `ahead`, oldest first, and not tried.
    passed: Vec<String>,
    /// How many in a row were gone.
    gone: u32,
    gap: usize,
    left_out: bool,
    whole: bool,
}

impl Names {
    /// With `whole` none is passed over.
    pub fn new(names: Vec<String>, whole: bool) -> Names {
        Names { ahead: names.into(), whole, ..Names::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.ahead.is_empty() && self.passed.is_empty()
    }

    /// How many are left of the list.
    pub fn left(&self) -> usize {
        self.ahead.len() + self.passed.len()
    }

    /// Whether some never came: then nothing is known of them.
    pub fn left_out(&self) -> bool {
        self.left_out
    }

    /// The next to try. None comes twice.
    pub fn next(&mut self) -> Option<String> {
        if self.ahead.is_empty() {
            self.go_back();
        }
        self.ahead.pop_front()
    }

    /// The last one was not there any more, or is in somebody's hands.
    pub fn was_taken(&mut self) {
        self.gone += 1;
        if self.gone > TRIES && !self.whole {
            self.left_out |= !self.passed.is_empty();
            self.passed.clear();
            self.gap = (self.gap * 2).clamp(1, GAP_MOST).min(self.ahead.len());
            self.passed.extend(self.ahead.drain(..self.gap));
        }
    }

    /// The last one is ours.
    pub fn was_there(&mut self) {
        self.go_back();
    }

    /// The last one was not taken, and is the next again.
    pub fn put_back(&mut self, name: String) {
        self.go_back();
        self.ahead.push_front(name);
    }

    fn go_back(&mut self) {
        for name in self.passed.drain(..).rev() {
            self.ahead.push_front(name);
        }
        (self.gone, self.gap) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes through a thousand names of which those from `first` on are there: how many were tried before the first of them,
    /// which were there and in what order, and whether some never came.
    fn through(first: usize, whole: bool) -> (usize, Vec<usize>, bool) {
        let mut names = Names::new((0..1000).map(|number| format!("{number:04}")).collect(), whole);
        let (mut before, mut there) = (0, Vec::new());
        while let Some(name) = names.next() {
            let number = name.parse().unwrap();
            if number < first {
                before += usize::from(there.is_empty());
                names.was_taken();
            } else {
                names.was_there();
                there.push(number);
            }
        }
        assert!(names.is_empty());
        (before, there, names.left_out())
    }

    #[test]
    fn alone_it_is_the_order_of_the_list() {
        assert_eq!(through(0, false), (0, (0..1000).collect(), false));
    }

    #[test]
    fn those_passed_over_are_left_as_well() {
        let mut names = Names::new((0..1000).map(|number| format!("{number:04}")).collect(), false);
        assert_eq!(names.left(), 1000);
        for taken in 1..=3 {
            names.next();
            names.was_taken();
            assert_eq!(names.left(), 1000 - taken);
        }
        assert_eq!(names.passed.len(), 1);
    }

    #[test]
    fn where_much_is_gone_little_is_tried_and_nothing_that_is_there_is_left_out() {
        let (tried, mut there, left_out) = through(900, false);
        assert!(tried < 30, "{tried} names were tried before one that was there");
        assert!(left_out);
        there.sort_unstable();
        assert_eq!(there, (900..1000).collect::<Vec<_>>());
        assert_eq!(through(2, false), (2, (2..1000).collect(), false));
        // The third in a row that is gone: one is passed over, and comes next when the one behind it is there.
        let (tried, there, left_out) = through(3, false);
        assert_eq!((tried, &there[..4], left_out), (3, &[4, 3, 5, 6][..], false));
        assert_eq!(through(900, true), (900, (900..1000).collect(), false));
    }
}
