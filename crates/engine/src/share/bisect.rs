//! Sending a batch that is refused as a whole without a word about which item is to blame: halves are sent until it is
//! found. One bad item among 500 costs eleven calls more, and the other 499 go through.

use kit::{ConnectorError, ItemOutcome};
use std::ops::Range;

/// How a call ended.
pub(super) enum Answer {
    /// One outcome an item.
    Each(Vec<ItemOutcome>),
    /// Nothing of it was done, in these words.
    RefusedWhole(String),
    /// It failed: what came of its items is not known.
    Failed(ConnectorError),
    /// It failed before anything was done, or could not be made.
    NotDone(ConnectorError),
    /// No call may be made any more.
    Stopped,
}

/// What came of a batch.
pub(super) struct Delivered {
    /// One an item; None: not tried, or tried in vain.
    pub(super) outcomes: Vec<Option<ItemOutcome>>,
    /// What ended it before its end.
    pub(super) error: Option<ConnectorError>,
}

/// Most calls for a batch of `n` items: some four items are found among many good ones; a destination that refuses
/// everything is not asked about each.
fn calls_most(n: usize) -> usize {
    4 * (usize::BITS - n.leading_zeros()) as usize + 8
}

/// Sends `n` items with `call`, which is given the range to send.
pub(super) fn deliver(
    n: usize,
    call: &mut dyn FnMut(Range<usize>) -> Result<Answer, crate::EngineError>,
) -> Result<Delivered, crate::EngineError> {
    let mut outcomes: Vec<Option<ItemOutcome>> = vec![None; n];
    let mut error = None;
    // What is before `from` is done with. Of what follows up to `bad` it is known that it is refused as a whole.
    let (mut from, mut bad): (usize, Option<(usize, String)>) = (0, None);
    let mut calls = 0;
    while from < n {
        let to = match &bad {
            None => n,
            Some((end, _)) => from + ((end - from) / 2).max(1),
        };
        if calls == calls_most(n) {
            let words = bad.map(|(_, words)| words).unwrap_or_default();
            error = Some(ConnectorError::Refused(format!("not told apart in {calls} calls: {words}")));
            break;
        }
        calls += 1;
        match call(from..to)? {
            Answer::Each(each) => {
                for (at, outcome) in (from..to).zip(each) {
                    outcomes[at] = Some(outcome);
                }
                from = to;
                // What was refused together with others and not without them is nobody's fault alone.
                bad = bad.filter(|(end, _)| from < *end);
            }
            Answer::RefusedWhole(words) if to - from == 1 => {
                outcomes[from] = Some(ItemOutcome::Refused(words));
                (from, bad) = (to, None);
            }
            Answer::RefusedWhole(words) => bad = Some((to, words)),
            Answer::Failed(failed) => {
                outcomes[from..to].fill(Some(ItemOutcome::Unknown(failed.to_string())));
                error = Some(failed);
                break;
            }
            Answer::NotDone(failed) => {
                error = Some(failed);
                break;
            }
            Answer::Stopped => break,
        }
    }
    Ok(Delivered { outcomes, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is accepted, what is refused, and how many calls were made.
    fn send(n: usize, bad: &[usize]) -> (usize, Vec<usize>, usize, Option<ConnectorError>) {
        let mut calls = 0;
        let mut done = vec![0; n];
        let delivered = deliver(n, &mut |range| {
            calls += 1;
            if bad.iter().any(|at| range.contains(at)) {
                return Ok(Answer::RefusedWhole(format!("no to {range:?}")));
            }
            range.clone().for_each(|at| done[at] += 1);
            Ok(Answer::Each(vec![ItemOutcome::Accepted { remote_id: None }; range.len()]))
        })
        .unwrap();
        let is = |at: &usize, accepted: bool| match &delivered.outcomes[*at] {
            Some(ItemOutcome::Accepted { .. }) => accepted,
            Some(ItemOutcome::Refused(_)) => !accepted,
            _ => false,
        };
        let accepted: Vec<usize> = (0..n).filter(|at| is(at, true)).collect();
        assert!(accepted.iter().all(|at| done[*at] == 1), "each once");
        (accepted.len(), (0..n).filter(|at| is(at, false)).collect(), calls, delivered.error)
    }

    #[test]
    fn one_bad_item_is_found_wherever_it_is() {
        for n in [1, 2, 3, 7, 64, 100, 500] {
            for bad in 0..n {
                let (accepted, refused, calls, error) = send(n, &[bad]);
                assert_eq!((accepted, refused, error), (n - 1, vec![bad], None), "{bad} of {n}");
                let extra = (calls - 1) as f64;
                assert!(extra <= 2.0 * (n as f64).log2().max(1.0), "{extra} more calls for {bad} of {n}");
            }
        }
    }

    #[test]
    fn several_are_found_and_a_destination_that_refuses_everything_is_left_alone() {
        assert_eq!(send(100, &[0, 50, 99]).1, [0, 50, 99]);
        let (accepted, refused, calls, error) = send(500, &(0..500).collect::<Vec<_>>());
        assert_eq!(accepted, 0);
        assert!(!refused.is_empty() && calls <= 44, "{refused:?} in {calls} calls");
        assert!(matches!(error, Some(ConnectorError::Refused(_))));
    }
}
