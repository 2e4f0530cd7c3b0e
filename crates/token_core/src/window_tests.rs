use super::*;

fn window(window: u64) -> Window {
    Window {
        window: Some(window),
        max_input: None,
        max_output: None,
        max_prompt: None,
        safety: 0,
        completion: None,
        default_completion: 4096,
        min_completion: None,
    }
}

fn granted(completion: u64, is_reduced: bool) -> Verdict {
    Verdict::Granted(Grant {
        completion,
        is_reduced,
    })
}

fn denied(cause: Cause, limit: u64, excess: u64, completion: u64) -> Verdict {
    Verdict::Denied(Denial {
        cause,
        limit,
        excess,
        completion,
    })
}

/// The numbers of the error message that this project exists to prevent.
#[test]
fn the_typical_failure_is_reduced_or_refused() {
    let request = Window {
        completion: Some(47_186),
        ..window(131_072)
    };
    assert_eq!(
        request.decide(86_387, Overflow::Reduce),
        granted(44_685, true)
    );
    assert_eq!(
        request.decide(86_387, Overflow::Refuse),
        denied(Cause::Window, 131_072, 2501, 47_186)
    );
    assert_eq!(request.room_beside(86_387), 44_685);
    assert_eq!(request.prompt_budget(), 131_072 - 47_186);
}

#[test]
fn without_a_completion_the_rest_is_granted() {
    let request = Window {
        max_output: Some(16_384),
        safety: 100,
        ..window(131_072)
    };
    assert_eq!(request.prompt_budget(), 131_072 - 4096 - 100);
    assert_eq!(request.decide(1000, Overflow::Fit), granted(16_384, false));
    assert_eq!(request.decide(126_000, Overflow::Fit), granted(4972, false));
    assert_eq!(
        request.decide(128_000, Overflow::Reduce),
        granted(2972, true)
    );
    let excess = 128_000 + 4096 + 100 - 131_072;
    let denial = denied(Cause::Window, 131_072, excess, 4096);
    assert_eq!(request.decide(128_000, Overflow::Refuse), denial);
    assert_eq!(window(8192).wanted(), 2048, "a quarter of the window");
    assert_eq!(
        Window {
            max_output: Some(1000),
            ..window(131_072)
        }
        .wanted(),
        1000
    );
    assert_eq!(
        Window {
            min_completion: Some(5000),
            ..window(131_072)
        }
        .wanted(),
        5000
    );
}

#[test]
fn completion_above_the_maximum_output_is_clamped_or_refused() {
    let request = Window {
        completion: Some(9000),
        max_output: Some(4000),
        ..window(32_000)
    };
    assert_eq!(request.decide(100, Overflow::Fit), granted(4000, true));
    assert_eq!(request.decide(100, Overflow::Reduce), granted(4000, true));
    assert_eq!(
        request.decide(100, Overflow::Refuse),
        denied(Cause::MaxOutput, 4000, 5000, 9000)
    );
    assert_eq!(request.prompt_budget(), 28_000);
    let demanding = Window {
        min_completion: Some(6000),
        ..request
    };
    for overflow in [Overflow::Fit, Overflow::Reduce] {
        let denial = denied(Cause::MaxOutput, 4000, 5000, 9000);
        assert_eq!(demanding.decide(100, overflow), denial);
    }
}

#[test]
fn completion_is_not_reduced_below_its_minimum() {
    let request = Window {
        completion: Some(1000),
        ..window(8000)
    };
    assert_eq!(request.decide(7999, Overflow::Reduce), granted(1, true));
    assert_eq!(
        request.decide(8000, Overflow::Reduce),
        denied(Cause::Window, 8000, 1000, 1000)
    );
    let demanding = Window {
        min_completion: Some(500),
        ..request
    };
    assert_eq!(demanding.decide(7500, Overflow::Reduce), granted(500, true));
    assert_eq!(
        demanding.decide(7501, Overflow::Reduce),
        denied(Cause::Window, 8000, 501, 1000)
    );
    let nothing = Window {
        completion: Some(0),
        ..window(8000)
    };
    assert_eq!(nothing.decide(8000, Overflow::Reduce), granted(0, false));
}

#[test]
fn prompt_limits_deny_whatever_the_completion() {
    let request = Window {
        completion: Some(1000),
        max_input: Some(6000),
        max_prompt: Some(5000),
        ..window(8000)
    };
    assert_eq!(request.prompt_budget(), 5000);
    for overflow in [Overflow::Fit, Overflow::Reduce, Overflow::Refuse] {
        assert_eq!(
            request.decide(5500, overflow),
            denied(Cause::MaxPrompt, 5000, 500, 1000)
        );
        assert_eq!(
            request.decide(6500, overflow),
            denied(Cause::MaxInput, 6000, 500, 1000)
        );
    }
    assert_eq!(request.room_beside(5500), 0);
}

#[test]
fn an_unknown_window_needs_a_limit_of_the_caller() {
    let unknown = Window {
        window: None,
        ..window(0)
    };
    assert!(unknown.check().is_err());
    let limited = Window {
        max_prompt: Some(5000),
        ..unknown
    };
    assert!(limited.check().is_ok());
    assert_eq!(limited.prompt_budget(), 5000);
    assert_eq!(limited.decide(4000, Overflow::Fit), granted(4096, false));
}

#[test]
fn huge_numbers_do_not_overflow() {
    let request = Window {
        completion: Some(u64::MAX),
        safety: u64::MAX,
        min_completion: Some(u64::MAX),
        ..window(u64::MAX)
    };
    assert_eq!(request.prompt_budget(), 0);
    for overflow in [Overflow::Fit, Overflow::Reduce, Overflow::Refuse] {
        let _ = request.decide(u64::MAX, overflow);
        let _ = request.decide(0, overflow);
    }
    assert_eq!(window(0).prompt_budget(), 0);
}
