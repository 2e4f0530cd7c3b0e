//! What the sender of a message says of how to treat it.

use super::shape::{Field, STEERING_KEY, Section};
use serde_json::{Map, Value};

/// What a message says under [`STEERING_KEY`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steering {
    pub section: Option<Section>,
    /// From 0 to 1.
    pub importance: Option<f64>,
    pub is_pinned: bool,
    /// Turns of one topic stay or go together.
    pub topic: Option<String>,
}

impl Steering {
    /// Reads a message's steering; the error says what was found.
    pub fn of(message: &Value) -> Result<Self, String> {
        match message.field(STEERING_KEY) {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Object(map)) => Self::from_map(map),
            Some(_) => Err(format!("has \"{STEERING_KEY}\" that is not an object")),
        }
    }

    fn from_map(map: &Map<String, Value>) -> Result<Self, String> {
        let mut steering = Self::default();
        for (key, value) in map {
            let is_taken = match (key.as_str(), value) {
                (_, Value::Null) => true,
                ("section", Value::String(name)) => {
                    steering.section = Section::from_name(name);
                    steering.section.is_some()
                }
                ("importance", value) => {
                    steering.importance = value.as_f64().filter(|it| (0.0..=1.0).contains(it));
                    steering.importance.is_some()
                }
                ("pinned", Value::Bool(is_pinned)) => {
                    steering.is_pinned = *is_pinned;
                    true
                }
                ("topic", Value::String(topic)) => {
                    steering.topic = Some(topic.clone());
                    true
                }
                ("section" | "pinned" | "topic", _) => false,
                // Hints of other programs, or of later versions.
                _ => true,
            };
            if !is_taken {
                return Err(format!(
                    "has a \"{STEERING_KEY}\" whose \"{key}\" makes no sense"
                ));
            }
        }
        Ok(steering)
    }
}
