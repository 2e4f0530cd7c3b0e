//! The same conversation in the other shapes.

use super::{PDF, PNG};
use serde_json::{Value, json};
use std::collections::HashMap;

/// An OpenAI conversation, valid or not, as Anthropic's `{system, messages}`; what comes before the
/// first user message is left out.
pub fn to_anthropic(messages: &[Value]) -> Value {
    let mut system = Vec::new();
    let mut list: Vec<Value> = Vec::new();
    // A call of a server's tool whose result is yet to come, and the message that makes it.
    let mut unanswered: Option<(usize, Value)> = None;
    for message in messages {
        let steering = &message["token_mgmt"];
        // Who has a name says what he says beside the results, if there are any.
        let is_named = message["name"].is_string() && steering.is_null();
        let joins = is_named && list.last().is_some_and(has_results);
        let mut add = |role: &str, content: Value| {
            let mut message = json!({"role": role, "content": content});
            if !steering.is_null() {
                message["token_mgmt"] = steering.clone();
            }
            list.push(message);
        };
        let said = match blocks(&message["content"]) {
            Value::Array(blocks) => blocks,
            text => vec![json!({"type": "text", "text": text})],
        };
        match message["role"].as_str().unwrap() {
            "system" | "developer" => {
                if let Some(text) = message["content"].as_str() {
                    system.push(json!({"type": "text", "text": format!("{text}.")}));
                }
            }
            "user" if joins => {
                let content = list.last_mut().unwrap()["content"].as_array_mut();
                content.unwrap().extend(said);
            }
            "user" => add("user", blocks(&message["content"])),
            "tool" => {
                let result = json!({"type": "tool_result", "tool_use_id": message["tool_call_id"],
                                    "content": result_content(&message["content"])});
                match list.last_mut().filter(|last| has_results(last)) {
                    Some(last) => last["content"].as_array_mut().unwrap().push(result),
                    None => list.push(json!({"role": "user", "content": [result]})),
                }
            }
            "assistant" => {
                let mut content = said;
                if let Some(thinking) = message["reasoning_content"].as_str() {
                    let block = json!({"type": "thinking", "thinking": thinking, "signature": "x"});
                    content.insert(0, block);
                }
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    content.push(json!({"type": "tool_use", "id": call["id"],
                        "name": call["function"]["name"],
                        "input": {"arguments": call["function"]["arguments"]}}));
                }
                if let Some((_, result)) = unanswered.take() {
                    content.insert(0, result);
                }
                if !content.is_empty() {
                    add("assistant", Value::from(content));
                }
                let last = list.len();
                if message["content"].is_array() && list.iter().any(is_asked) {
                    let (call, result) = server_call(last);
                    let content = list[last - 1]["content"].as_array_mut().unwrap();
                    content.push(call);
                    match last % 2 {
                        0 => content.push(result),
                        _ => unanswered = Some((last - 1, result)),
                    }
                }
            }
            // The old function calls have no counterpart.
            _ => {}
        }
    }
    if let Some((at, result)) = unanswered {
        list[at]["content"].as_array_mut().unwrap().push(result);
    }
    let mut list = list.split_off(list.iter().position(is_asked).unwrap_or(list.len()));
    if list.is_empty() {
        list.push(json!({"role": "user", "content": "x"}));
    }
    if messages.len() % 4 == 3 {
        let folded = json!([{"type": "compaction", "content": "They said hello."}]);
        list.insert(0, json!({"role": "assistant", "content": folded}));
    }
    match system.is_empty() {
        true => json!({"messages": list}),
        false => json!({"system": system, "messages": list}),
    }
}

fn is_asked(message: &Value) -> bool {
    message["role"] == "user" && !has_results(message)
}

/// A call of a tool that the provider runs, and its result.
fn server_call(number: usize) -> (Value, Value) {
    let id = format!("srvtoolu_{number}");
    (
        json!({"type": "server_tool_use", "id": id, "name": "code_execution", "input": {"code": "x"}}),
        json!({"type": "code_execution_tool_result", "tool_use_id": id,
               "content": {"type": "code_execution_result", "stdout": "1", "stderr": "",
                           "return_code": 0}}),
    )
}

fn has_results(message: &Value) -> bool {
    message["content"][0]["type"] == "tool_result"
}

/// Texts that Anthropic takes are not empty.
fn blocks(content: &Value) -> Value {
    match content {
        Value::String(text) => json!(format!("{text}.")),
        Value::Array(parts) => parts.iter().map(block).collect(),
        _ => json!([]),
    }
}

fn block(part: &Value) -> Value {
    match part["text"].as_str() {
        Some(text) => {
            let mut block = part.clone();
            block["text"] = json!(format!("{text}."));
            block
        }
        None if part["type"] == "image_url" => {
            json!({"type": "image", "source": {"type": "url", "url": part["image_url"]["url"]}})
        }
        None if part["type"] == "file" && part["file"]["file_id"].is_string() => {
            json!({"type": "document", "source": {"type": "file", "file_id": "file_1"}})
        }
        None => document(),
    }
}

fn document() -> Value {
    let media_type = "application/pdf";
    json!({"type": "document",
           "source": {"type": "base64", "media_type": media_type, "data": PDF.repeat(20)}})
}

/// Here a result may hold images and files, too.
fn result_content(content: &Value) -> Value {
    let mut content = blocks(content);
    if let Value::Array(blocks) = &mut content {
        let source = json!({"type": "base64", "media_type": "image/png", "data": PNG});
        match blocks.len() {
            1 => {}
            2 => blocks.push(json!({"type": "image", "source": source})),
            _ => blocks.push(document()),
        }
    }
    content
}

/// An OpenAI conversation, valid or not, as input items of the Responses API.
pub fn to_responses(messages: &[Value]) -> Value {
    let mut items: Vec<Value> = Vec::new();
    let mut kinds: HashMap<String, &str> = HashMap::new();
    for message in messages {
        let role = message["role"].as_str().unwrap();
        if role == "tool" {
            let id = &message["tool_call_id"];
            let kind = kinds.get(&id.to_string()).copied();
            items.push(output(kind.unwrap_or(CALLS[0]), id, &message["content"]));
            continue;
        }
        if role == "function" || !message["function_call"].is_null() {
            continue;
        }
        if let Some(thinking) = message["reasoning_content"].as_str() {
            let summary = json!([{"type": "summary_text", "text": thinking}]);
            items.push(json!({"type": "reasoning", "id": "rs_1", "summary": summary}));
        }
        let is_approved = role == "user" && message["content"].is_array();
        let approval = format!("mcpr_{}", items.len());
        if is_approved {
            items.push(
                json!({"type": "mcp_approval_request", "id": approval, "name": "roll",
                              "server_label": "dice", "arguments": "{}"}),
            );
        }
        if !message["content"].is_null() {
            let mut item = json!({"type": "message", "role": role,
                                  "content": parts(role, &message["content"])});
            if !message["token_mgmt"].is_null() {
                item["token_mgmt"] = message["token_mgmt"].clone();
            }
            items.push(item);
        }
        if is_approved {
            items.push(
                json!({"type": "mcp_approval_response", "approval_request_id": approval,
                              "approve": true}),
            );
        }
        if role == "assistant" && message["content"].is_array() {
            items.push(
                json!({"type": "web_search_call", "id": "ws_1", "status": "completed",
                              "action": {"type": "search", "query": "x"}}),
            );
        }
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        for (at, call) in calls.enumerate() {
            let arguments = call["function"]["arguments"].as_str().unwrap();
            let kind = CALLS[(at + arguments.len()) % CALLS.len()];
            kinds.insert(call["id"].to_string(), kind);
            let mut item = json!({"type": kind, "call_id": call["id"]});
            match kind {
                "function_call" => item["arguments"] = json!(arguments),
                "custom_tool_call" => item["input"] = json!(arguments),
                _ => item["action"] = json!({"type": "exec", "command": arguments}),
            }
            if matches!(kind, "function_call" | "custom_tool_call") {
                item["name"] = call["function"]["name"].clone();
            }
            items.push(item);
        }
    }
    if items.is_empty() {
        items.push(json!({"type": "message", "role": "user", "content": "x"}));
    }
    if messages.len() % 4 == 3 {
        items.insert(
            0,
            json!({"type": "compaction", "encrypted_content": "gAAAAABo"}),
        );
    }
    Value::from(items)
}

/// Kinds of calls that wait for a result.
const CALLS: [&str; 6] = [
    "function_call",
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
];

fn output(kind: &str, id: &Value, content: &Value) -> Value {
    let text = text_of(content);
    let output = match kind {
        "computer_call" => json!({"type": "computer_screenshot",
                                  "image_url": format!("data:image/png;base64,{PNG}")}),
        "shell_call" => json!([{"stdout": text, "stderr": "",
                                "outcome": {"type": "exit", "exit_code": 0}}]),
        "function_call" if content.is_array() => parts("user", content),
        _ => json!(text),
    };
    json!({"type": format!("{kind}_output"), "call_id": id, "output": output})
}

fn parts(role: &str, content: &Value) -> Value {
    let kind = match role {
        "assistant" => "output_text",
        _ => "input_text",
    };
    let Value::Array(parts) = content else {
        return json!([{"type": kind, "text": text_of(content)}]);
    };
    let part = |part: &Value| match part["type"].as_str().unwrap() {
        "text" => json!({"type": kind, "text": part["text"]}),
        "image_url" => json!({"type": "input_image", "image_url": part["image_url"]["url"]}),
        "file" => {
            let mut file = part["file"].clone();
            file["type"] = json!("input_file");
            file
        }
        _ => json!({"type": "input_file", "file_url": "https://x/y.pdf"}),
    };
    parts.iter().map(part).collect()
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}

/// The messages of a list of any shape, without Anthropic's `system`.
pub fn list(messages: &Value) -> &[Value] {
    let list = messages.get("messages").unwrap_or(messages);
    list.as_array().unwrap()
}

/// The results of tools, in order: what each call was, and what came of it.
pub fn results_of(messages: &[Value]) -> Vec<(String, String)> {
    let mut calls = std::collections::HashMap::new();
    let mut results = Vec::new();
    for message in messages {
        let mut parts: Vec<&Value> = vec![message];
        for key in ["content", "tool_calls"] {
            parts.extend(message[key].as_array().into_iter().flatten());
        }
        for part in parts {
            let id = ["tool_use_id", "tool_call_id", "call_id", "id"]
                .iter()
                .find_map(|key| part[*key].as_str());
            let is_built_in = part["type"]
                .as_str()
                .is_some_and(|it| it.ends_with("_call"));
            let called = [&part["function"], part]
                .into_iter()
                .find(|it| it["name"].is_string())
                .or(is_built_in.then_some(part));
            let result = ["output", "content"]
                .iter()
                .find(|key| !part[**key].is_null());
            match (id, called, result) {
                (Some(id), Some(called), _) => {
                    let inputs = ["arguments", "input", "action"].iter();
                    let input = inputs
                        .map(|key| &called[*key])
                        .find(|input| !input.is_null());
                    calls.insert(id, format!("{} {input:?}", called["name"]));
                }
                (Some(id), None, Some(key)) => {
                    results.push((calls[id].clone(), part[*key].to_string()));
                }
                _ => {}
            }
        }
    }
    results
}
