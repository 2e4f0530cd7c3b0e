use crate::error::ErrorKind;
use crate::fit::fit_json;
use serde_json::{Value, json};

const MESSAGES: &str = r#"[{"role": "user", "content": "x"}]"#;

/// A request with the keys of `more` on top of the smallest one.
fn request(more: Value) -> String {
    let mut request = json!({"encoding": "o200k_base", "basis": "exact", "window": 100_000});
    for (key, value) in more.as_object().unwrap() {
        request[key] = value.clone();
    }
    request.to_string()
}

#[test]
fn bad_requests_are_named() {
    for (more, expected) in [
        (
            json!({"options": {"colour": 1}}),
            "unknown option \"colour\"",
        ),
        (
            json!({"options": {"cut": "yes"}}),
            "option \"cut\" is not a boolean",
        ),
        (
            json!({"options": {"cut_step": -1}}),
            "option \"cut_step\" is not a number of tokens",
        ),
        (json!({"strategy": "luck"}), "unknown strategy \"luck\""),
        (
            json!({"on_overflow": "pray"}),
            "unknown on_overflow \"pray\"",
        ),
        (
            json!({"window": null}),
            "context window of the model is not known",
        ),
        (json!({"window": -5}), "fitting request is not valid"),
        (json!({"window": 1e30}), "fitting request is not valid"),
        (json!({"windows": 5}), "fitting request is not valid"),
        (json!({"encoding": "morse"}), "unknown encoding \"morse\""),
    ] {
        let error = fit_json(MESSAGES, None, &request(more)).unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::InvalidArgument, expected)
        );
    }
}

#[test]
fn input_that_is_not_messages_is_malformed() {
    for (messages, detail) in [
        ("{}", "The object has no \"messages\"."),
        (
            "\"hello\"",
            "Expected an array of messages, found a string.",
        ),
        ("null", "Expected an array of messages, found null."),
        ("[]", "The array of messages is empty."),
        ("[[]]", "Message 0 is an array."),
        (
            "[{\"role\": \"user\"}",
            "Reading stopped at line 1, column 17.",
        ),
        (
            "[{\"role\": \"user\", \"content\": \"\\ud800\"}]",
            "Reading stopped at line 1, column 37.",
        ),
    ] {
        let error = fit_json(messages, None, &request(json!({}))).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed, "{messages}");
        assert_eq!(error.detail.unwrap(), detail);
    }
}
