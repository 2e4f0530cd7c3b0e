//! Tool definitions, rendered as the API shows them to the model: a TypeScript-like namespace
//! (found out by hmarr/openai-chat-tokens, `src/functions.ts`).

use super::Counter;
use serde_json::{Map, Value};

/// Around the rendered namespace, and less when a system message is there to hold it.
const AROUND: u64 = 9;
const SHARED_WITH_SYSTEM: u64 = 4;
/// The system prompt that Anthropic adds where there are tools (its page "Tool use": 313 to 346 for
/// the models of generation 4, 530 at most before).
const ANTHROPIC_TOOL_PROMPT: u64 = 530;

/// Checked tool definitions.
#[derive(Clone, Debug, Default)]
pub struct Tools(Vec<Value>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToolsCount {
    pub tokens: u64,
    pub low: u64,
}

impl ToolsCount {
    /// The same definitions where a system message holds them.
    pub fn beside_system(self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(SHARED_WITH_SYSTEM),
            low: self.low.saturating_sub(SHARED_WITH_SYSTEM),
        }
    }
}

impl Tools {
    /// Takes OpenAI tools and legacy function definitions; the error is a sentence that says what
    /// was found.
    pub fn new(tools: Vec<Value>) -> Result<Self, String> {
        for (index, tool) in tools.iter().enumerate() {
            if !tool.is_object() {
                return Err(format!("Tool {index} is {}.", super::input::kind_of(tool)));
            }
            let function = function_of(tool);
            if function.is_some_and(|function| name_of(function).is_none()) {
                return Err(format!("Tool {index} is a function without a \"name\"."));
            }
            if function.is_none() && !tool.get("type").is_some_and(Value::is_string) {
                return Err(format!("Tool {index} has no \"type\"."));
            }
        }
        Ok(Self(tools))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tokens of the definitions where there is no system message.
    pub fn count(&self, counter: &Counter) -> ToolsCount {
        if self.is_empty() {
            return ToolsCount::default();
        }
        let raw = counter.raw(&self.render());
        let mut count = ToolsCount {
            tokens: counter.high.up(raw) + AROUND,
            low: counter.low.down(raw) + AROUND,
        };
        if self.0.iter().any(|tool| tool.get("input_schema").is_some()) {
            count.tokens += ANTHROPIC_TOOL_PROMPT;
        }
        // A built-in tool of the provider has no known rendering: at most its JSON.
        for tool in self.0.iter().filter(|tool| function_of(tool).is_none()) {
            count.tokens += counter.high.up(counter.raw(&tool.to_string()));
        }
        count
    }

    fn render(&self) -> String {
        let mut out = String::from("namespace functions {\n\n");
        for function in self.0.iter().filter_map(function_of) {
            render_function(&mut out, function);
        }
        out.push_str("} // namespace functions");
        out
    }
}

/// The function that a tool defines: under `function`, or the element itself in the old list of
/// functions. `None` for the provider's built-in tools.
fn function_of(tool: &Value) -> Option<&Value> {
    match tool.get("type").and_then(Value::as_str) {
        Some("function") => Some(tool.get("function").unwrap_or(tool)),
        Some(_) => None,
        None => tool.get("name").is_some().then_some(tool),
    }
}

fn name_of(function: &Value) -> Option<&str> {
    function.get("name")?.as_str()
}

fn description_of(value: &Value) -> Option<&str> {
    value
        .get("description")?
        .as_str()
        .filter(|text| !text.is_empty())
}

fn render_function(out: &mut String, function: &Value) {
    let name = name_of(function).unwrap_or_default();
    if let Some(description) = description_of(function) {
        out.extend(["// ", description, "\n"]);
    }
    match parameters_of(function).filter(|schema| properties_of(schema).is_some()) {
        Some(schema) => {
            out.extend(["type ", name, " = (_: {\n"]);
            render_properties(out, schema, 0);
            out.push_str("\n}) => any;\n\n");
        }
        None => out.extend(["type ", name, " = () => any;\n\n"]),
    }
}

/// The schema of what a function takes; Anthropic's tools have it under another name.
fn parameters_of(function: &Value) -> Option<&Value> {
    function
        .get("parameters")
        .or_else(|| function.get("input_schema"))
}

fn properties_of(schema: &Value) -> Option<&Map<String, Value>> {
    schema
        .get("properties")?
        .as_object()
        .filter(|properties| !properties.is_empty())
}

/// The properties of an object, one per line. Descriptions below the first level are not shown
/// to the model.
fn render_properties(out: &mut String, schema: &Value, indent: usize) {
    let required = schema.get("required").and_then(Value::as_array);
    let required: std::collections::HashSet<&str> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut separator = "";
    for (name, property) in properties_of(schema).into_iter().flatten() {
        let margin = " ".repeat(indent);
        if let Some(description) = description_of(property).filter(|_| indent < 2) {
            out.extend([separator, &margin, "// ", description]);
            separator = "\n";
        }
        let colon = if required.contains(name.as_str()) {
            ": "
        } else {
            "?: "
        };
        out.extend([separator, &margin, name, colon]);
        render_type(out, property, indent);
        out.push(',');
        separator = "\n";
    }
}

fn render_type(out: &mut String, schema: &Value, indent: usize) {
    let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf"));
    if let Some(alternatives) = alternatives.and_then(Value::as_array) {
        return join(out, alternatives, |out, item| {
            render_type(out, item, indent)
        });
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return join(out, values, |out, value| out.push_str(&value.to_string()));
    }
    match schema.get("type") {
        Some(Value::String(name)) => render_named_type(out, name, schema, indent),
        Some(Value::Array(names)) => join(out, names, |out, name| {
            render_named_type(out, name.as_str().unwrap_or("any"), schema, indent);
        }),
        // References and constants have no known rendering: at most their JSON.
        _ => out.push_str(&schema.to_string()),
    }
}

fn render_named_type(out: &mut String, name: &str, schema: &Value, indent: usize) {
    match name {
        "integer" => out.push_str("number"),
        "object" => {
            out.push_str("{\n");
            render_properties(out, schema, indent + 2);
            out.push_str("\n}");
        }
        "array" => match schema.get("items") {
            Some(items) => {
                render_type(out, items, indent);
                out.push_str("[]");
            }
            None => out.push_str("any[]"),
        },
        other => out.push_str(other),
    }
}

fn join(out: &mut String, items: &[Value], mut render: impl FnMut(&mut String, &Value)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(" | ");
        }
        render(out, item);
    }
}
