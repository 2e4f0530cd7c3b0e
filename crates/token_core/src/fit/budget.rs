//! Ceilings of the sections of a prompt, as an agent has them.

use crate::chat::Section;
use serde::Deserialize;

/// The most tokens of each section, `None` without a limit; all tokens count, framing included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budgets {
    pub system: Option<u64>,
    pub user: Option<u64>,
    pub story: Option<u64>,
    pub history: Option<u64>,
    pub rag: Option<u64>,
    /// Who takes first of what the window has; whoever is not named comes last.
    pub precedence: Vec<String>,
    /// The history may have what the others leave, also above its ceiling.
    pub history_grows: bool,
    /// A system section above its ceiling is refused; otherwise it borrows from the others.
    pub refuse_system: bool,
}

/// Sections of which something may go, in the order that holds where an agent names none.
const SHRINKING: [Section; 3] = [Section::Story, Section::History, Section::Rag];

impl Budgets {
    /// Whether the window is all that limits the sections.
    pub fn has_no_ceiling(&self) -> bool {
        let mut sections = Section::ALL.into_iter();
        sections.all(|section| self.ceiling(section).is_none())
    }

    pub fn ceiling(&self, section: Section) -> Option<u64> {
        match section {
            Section::System => self.system,
            Section::User => self.user,
            Section::Story => self.story,
            Section::History => self.history,
            Section::Rag => self.rag,
            Section::Summary => None,
        }
    }

    /// The sections that give way, the first to take first.
    pub fn order(&self) -> Vec<Section> {
        let named = self
            .precedence
            .iter()
            .filter_map(|name| Section::from_name(name));
        let mut order: Vec<Section> = Vec::new();
        for section in named.chain(SHRINKING) {
            if SHRINKING.contains(&section) && !order.contains(&section) {
                order.push(section);
            }
        }
        order
    }
}
