//! The budget, one call after another and two hundred at once.

use super::*;
use std::{sync::Barrier, thread};

const ASK: Ask = Ask { input_tokens: 10, output_tokens: 100 };

fn read(input_tokens: u64, output_tokens: u64) -> Reading {
    Reading { input_tokens, output_tokens, finished: true, ..Reading::default() }
}

fn refused(budget: &Arc<Budget>, ask: Ask) -> Option<Kind> {
    budget.reserve(ask).map(Reservation::release).err().map(|refusal| refusal.kind)
}

#[test]
fn every_bound_has_its_refusal() {
    let none = Caps::default();
    let cases = [
        (Caps { max_requests: Some(1), ..none }, Kind::Requests),
        (Caps { max_input_tokens: Some(15), ..none }, Kind::InputTokens),
        (Caps { max_output_tokens: Some(100), ..none }, Kind::OutputTokens),
        (Caps { max_concurrent_streams: Some(1), ..none }, Kind::Concurrency),
    ];
    for (caps, kind) in cases {
        let budget = Budget::new(caps);
        let first = budget.reserve(ASK).unwrap();
        assert_eq!(refused(&budget, ASK), Some(kind));
        first.release();
        assert_eq!(refused(&budget, ASK), None, "{kind:?}: a released call costs nothing");
        budget.reserve(ASK).unwrap().settle(&read(10, 100), None);
        let expected = (kind != Kind::Concurrency).then_some(kind);
        assert_eq!(refused(&budget, ASK), expected);
        assert_eq!(kind.status(), 429);
    }
}

#[test]
fn without_caps_nothing_is_bounded() {
    let budget = Budget::new(Caps::default());
    let most = Ask { input_tokens: u64::MAX, output_tokens: u64::MAX };
    let open: Vec<_> = (0..10).map(|_| budget.reserve(most).unwrap()).collect();
    assert_eq!(budget.open_calls(), 10);
    open.into_iter().for_each(Reservation::release);
    assert_eq!((budget.open_calls(), budget.usage()), (0, Usage::default()));
}

#[test]
fn a_cap_of_zero_allows_nothing() {
    for (caps, kind) in [
        (Caps { max_requests: Some(0), ..Caps::default() }, Kind::Requests),
        (Caps { max_output_tokens: Some(0), ..Caps::default() }, Kind::OutputTokens),
        (Caps { max_concurrent_streams: Some(0), ..Caps::default() }, Kind::Concurrency),
    ] {
        assert_eq!(refused(&Budget::new(caps), ASK), Some(kind));
    }
}

#[test]
fn a_call_costs_what_was_read_and_not_what_was_reserved() {
    let budget = Budget::new(Caps { max_output_tokens: Some(150), ..Caps::default() });
    budget.reserve(ASK).unwrap().settle(&read(7, 3), Some(Duration::from_millis(20)));
    budget.reserve(ASK).unwrap().settle(&read(1, 2), Some(Duration::from_millis(5)));
    let expected = Usage {
        requests: 2,
        input_tokens: 8,
        output_tokens: 5,
        answered: 2,
        first_token_ms_sum: 25,
        first_token_ms_max: 20,
        ..Usage::default()
    };
    assert_eq!(budget.usage(), expected);
}

#[test]
fn a_refused_call_costs_nothing() {
    let budget = Budget::new(Caps { max_requests: Some(0), ..Caps::default() });
    for _ in 0..3 {
        assert!(budget.reserve(ASK).is_err());
    }
    budget.count_refusal();
    assert_eq!(budget.usage(), Usage { refused: 1, ..Usage::default() });
}

#[test]
fn a_call_that_was_dropped_is_spent_in_full() {
    let budget = Budget::new(Caps::default());
    drop(budget.reserve(ASK).unwrap());
    let usage = budget.usage();
    assert_eq!((usage.input_tokens, usage.output_tokens), (10, 100));
    assert_eq!((usage.requests, usage.unfinished, usage.estimated), (1, 1, 1));
    assert_eq!(budget.open_calls(), 0);
}

#[test]
fn embeddings_pass_when_only_output_is_spent() {
    let budget = Budget::new(Caps { max_output_tokens: Some(5), ..Caps::default() });
    budget.reserve(ASK).unwrap().settle(&read(1, 9), None);
    assert_eq!(refused(&budget, ASK), Some(Kind::OutputTokens));
    assert_eq!(refused(&budget, Ask::of_call(400, false, None)), None);
}

#[test]
fn a_call_is_estimated_by_its_body() {
    let cases = [
        (0, true, Some(7), Ask { input_tokens: 0, output_tokens: 7 }),
        (9, true, None, Ask { input_tokens: 3, output_tokens: DEFAULT_OUTPUT_TOKENS }),
        (8, false, Some(7), Ask { input_tokens: 2, output_tokens: 0 }),
    ];
    for (bytes, generates, most, expected) in cases {
        assert_eq!(Ask::of_call(bytes, generates, most), expected);
    }
}

#[test]
fn a_dropped_call_costs_no_more_than_is_left() {
    let budget = Budget::new(Caps { max_output_tokens: Some(500), ..Caps::default() });
    budget.reserve(ASK).unwrap().settle(&read(1, 100), None);
    drop(budget.reserve(Ask { input_tokens: 0, output_tokens: u64::MAX }).unwrap());
    assert_eq!(budget.usage().output_tokens, 500);
}

#[test]
fn a_job_that_is_taken_up_again_has_spent_before() {
    let spent = Usage { requests: 2, ..Usage::default() };
    let budget = Budget::resume(Caps { max_requests: Some(2), ..Caps::default() }, spent);
    assert_eq!(refused(&budget, ASK), Some(Kind::Requests));
}

#[test]
fn two_hundred_at_once_do_not_spend_twice() {
    let caps = Caps {
        max_requests: Some(50),
        max_input_tokens: Some(300),
        max_output_tokens: Some(2_050),
        max_concurrent_streams: Some(40),
    };
    for _ in 0..20 {
        let budget = Budget::new(caps);
        let start = Barrier::new(200);
        thread::scope(|scope| {
            for index in 0..200_u64 {
                let (budget, start) = (&budget, &start);
                scope.spawn(move || {
                    start.wait();
                    let Ok(call) = budget.reserve(ASK) else { return };
                    assert!(budget.open_calls() <= 40);
                    match index % 4 {
                        0 => drop(call),
                        1 => call.release(),
                        _ => call.settle(&read(10, 100), None),
                    }
                });
            }
        });
        let usage = budget.usage();
        assert!(usage.requests <= 50, "{usage:?}");
        assert!(usage.input_tokens <= 300, "{usage:?}");
        assert!(usage.output_tokens <= 2_050 + ASK.output_tokens, "{usage:?}");
        assert_eq!(budget.open_calls(), 0);
        // What was let go is there again.
        assert_eq!(budget.lock().reserved, Ask::default());
    }
}
