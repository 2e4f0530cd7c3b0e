//! Fitting a conversation into a context window.
//!
//! Order of work: sanitise, check the shape, repair calls and results, count each message once,
//! shorten as the options say, rank the units, drop from the end of the ranking, cut the boundary
//! message, put in a summary, count what was changed again.

mod answer;
mod budget;
mod carry_out;
mod edit;
mod plan;
mod rank;
mod repair;
mod request;
mod sections;
mod shorten;
mod step;
mod summary;
mod topic;

pub use budget::Budgets;
pub use request::{CutStep, Options, Request, Strategy};

use crate::chat::{
    self, Conversation, Counter, MessageCount, Section, Steering, Tools, Total, linked,
};
use crate::chat::{Format, ToolsCount, read_tools};
use crate::cut;
use crate::error::CoreError;
use crate::sanitize::{Removal, sanitize};
use crate::window::{Cause, Denial, Grant, Overflow, Verdict};
pub use answer::Answer;
use answer::{Action, Outcome, Receipt};
use edit::{Edit, remove_blocks};
use plan::{Plan, Planner};
use sections::Parts;
use serde::Serialize;
use serde_json::{Value, json};

/// Fits a request. `messages` are JSON in one of the shapes of [`Conversation`], `tools` as the API
/// takes them, `request` is a [`Request`] as JSON; the answer is a JSON object, see [`fit`].
pub fn fit_json(messages: &str, tools: Option<&str>, request: &str) -> Result<String, CoreError> {
    let messages = chat::parse("messages", messages)?;
    let tools = tools.map(|tools| chat::parse("tools", tools)).transpose()?;
    let answer = fit_values(messages, tools.unwrap_or_default(), request)?;
    Ok(json!(answer).to_string())
}

/// [`fit_json`] for JSON that has been read; tools are null where there are none.
pub fn fit_values(
    mut messages: Value,
    tools: Value,
    request: &str,
) -> Result<impl Serialize, CoreError> {
    let (mut request, counter, rules) = request::from_json(request)?;
    let mut removed = Vec::new();
    if !rules.is_empty() {
        removed = sanitize(&mut messages, &rules);
        request.omit_unchanged &= removed.is_empty();
    }
    let conversation = Conversation::from_value(messages)?;
    let tools = read_tools(tools)?;
    let answer = fit(conversation, &tools, &counter, &request)?;
    let removed = removed.iter().map(Removal::to_json).collect();
    Ok(Sanitized { answer, removed })
}

/// What fitting says, and what was taken out before.
#[derive(Serialize)]
struct Sanitized {
    #[serde(flatten)]
    answer: Answer,
    removed: Vec<Value>,
}

/// Fits messages whose shape has been checked. The answer has `status` `granted`, `fitted` or
/// `reduced` with the messages to send, or `denied` with the limit that is not kept.
pub fn fit(
    conversation: Conversation,
    tools: &Tools,
    counter: &Counter,
    request: &Request,
) -> Result<Answer, CoreError> {
    request.window.check()?;
    let mut work = Work::start(conversation, tools, counter, request)?;
    let whole = work.total();
    let prompt = whole.tokens();
    let budget = request.window.prompt_budget();
    let decide = |prompt| request.window.decide(prompt, request.overflow);
    if prompt <= budget
        && request.budgets.has_no_ceiling()
        && let Verdict::Granted(grant) = decide(prompt)
    {
        return Ok(work.granted(counter, request, whole, grant));
    }
    let may_change = request.overflow == Overflow::Fit;
    let mut parts = work.parts(request, work.ranking(request, None));
    let mut plan = work.plan(counter, request, &parts, budget);
    if may_change && plan.is_needed && request.options.shortens() {
        let ranking = work.shorten(counter, request, parts.ranking);
        parts = work.parts(request, ranking);
        plan = work.plan(counter, request, &parts, budget);
        plan.is_needed = true;
    }
    let reached = if may_change { plan.reached } else { prompt };
    let over = work.over_ceiling(request, &parts);
    if let Some(denial) = over.or(match decide(reached) {
        Verdict::Denied(denial) => Some(denial),
        Verdict::Granted(_) => None,
    }) {
        return Ok(work.denied(counter, request, prompt, reached, &parts, &denial));
    }
    let mut summary = None;
    if may_change && plan.is_needed {
        work.carry_out(counter, request, &parts, &plan);
        summary = work.summarise(counter, request, &plan);
        let has_other = summary.as_ref().is_some_and(|summary| summary.is_first);
        work.recount_first_system(counter, has_other);
    }
    work.warn_of_history(request, &parts);
    let mut total = work.total();
    if let Some(summary) = &summary {
        if work.conversation.format != Format::Anthropic {
            total = work.total_of(work.tools[1]);
        }
        total.add(&summary.count);
    }
    match decide(total.tokens()) {
        Verdict::Granted(grant) => Ok(Outcome {
            is_fitted: may_change && plan.is_needed,
            lines: work.lines(request, &parts.ranking.last_user),
            work,
            counter,
            request,
            summary,
            total,
            grant,
        }
        .into_answer()),
        Verdict::Denied(denial) => {
            Ok(work.denied(counter, request, prompt, reached, &parts, &denial))
        }
    }
}

/// The most tokens of a newline at the end of a text.
const NEWLINE: u64 = 2;

/// The messages on their way through.
struct Work {
    conversation: Conversation,
    counts: Vec<MessageCount>,
    steering: Vec<Steering>,
    receipt: Vec<Receipt>,
    /// Alone, and beside a system message.
    tools: [ToolsCount; 2],
    warnings: Vec<String>,
}

impl Work {
    fn start(
        mut conversation: Conversation,
        tools: &Tools,
        counter: &Counter,
        request: &Request,
    ) -> Result<Self, CoreError> {
        let losses = repair::find(&conversation, request.options.repair)?;
        let before = chat::count_messages(counter, &conversation, !tools.is_empty());
        let mut receipt: Vec<Receipt> = before
            .iter()
            .enumerate()
            .map(|(at, count)| Receipt::kept(conversation.input_index(at), count.tokens()))
            .collect();
        let mut partly = Vec::new();
        for (index, loss) in losses.into_iter().enumerate() {
            let Some(loss) = loss else {
                continue;
            };
            match loss.blocks {
                None => receipt[index].drop(loss.rule),
                Some(blocks) => {
                    remove_blocks(&mut conversation.messages[index], &blocks);
                    receipt[index].edit(loss.rule, Edit::Remove { blocks });
                    partly.push(index);
                }
            }
        }
        let format = conversation.format;
        let steering = |(message, count): (&Value, &MessageCount)| {
            let mut steering = count.steering(message);
            steering.is_pinned |= linked::is_compaction(format, message);
            steering
        };
        let messages = conversation.messages.iter();
        let steering = messages.zip(&before).map(steering).collect();
        let alone = tools.count(counter);
        let tools = [alone, alone.beside_system()];
        let mut work = Self {
            conversation,
            counts: before,
            steering,
            receipt,
            tools,
            warnings: Vec::new(),
        };
        for index in partly {
            work.recount(counter, index);
        }
        work.find_summary();
        work.warn_of_input(request);
        Ok(work)
    }

    fn warn_of_input(&mut self, request: &Request) {
        let repaired = self
            .receipt
            .iter()
            .filter(|receipt| receipt.action != Action::Kept)
            .count();
        if repaired > 0 {
            let messages = if repaired == 1 { "message" } else { "messages" };
            self.warnings.push(format!(
                "{repaired} {messages} dropped because a call, its results or the question is missing"
            ));
        }
        let unknown = self.counts.iter().flat_map(|count| &count.unknown_blocks);
        let mut unknown: Vec<&String> = unknown.collect();
        unknown.sort_unstable();
        unknown.dedup();
        for kind in unknown.into_iter().take(5) {
            self.warnings.push(format!(
                "content of type \"{kind}\" is counted as an estimate"
            ));
        }
        let ceiling = request.budgets.system;
        let used = self.tokens_of(Section::System);
        if let Some(ceiling) = ceiling.filter(|ceiling| used > *ceiling) {
            self.warnings.push(format!(
                "system section has {used} tokens, {} over its budget; the other sections get less",
                used - ceiling
            ));
        }
    }

    /// The last exchange stays whatever the history's budget is.
    fn warn_of_history(&mut self, request: &Request, parts: &Parts) {
        let mut sections = parts.sections.iter();
        let fixed = sections.find(|section| section.section == Section::History);
        let fixed = fixed.map_or(0, |section| section.fixed);
        let ceiling = request
            .budgets
            .history
            .filter(|_| !request.budgets.history_grows);
        if let Some(ceiling) = ceiling.filter(|ceiling| fixed > *ceiling) {
            self.warnings.push(format!(
                "last exchange has {fixed} tokens, {} over the budget of the history",
                fixed - ceiling
            ));
        }
    }

    /// Whether a message is left.
    fn is_live(&self, index: usize) -> bool {
        !self.receipt[index].is_gone()
    }

    /// The first message of role system that is left.
    pub fn first_system(&self) -> Option<usize> {
        (0..self.counts.len()).find(|at| self.is_live(*at) && self.is_system(*at))
    }

    /// What tools may cost more when the first system message goes, or another is the first.
    fn slack(&self) -> u64 {
        let first = self.first_system();
        let may_go = first.is_some_and(|first| self.shrinking_section(first).is_some());
        let tools = self.tools.map(|tools| tools.tokens);
        if may_go && tools[0] > 0 {
            tools[0] - tools[1] + NEWLINE
        } else {
            0
        }
    }

    /// The first system message has a newline more where there are tools; a summary may be the first.
    fn recount_first_system(&mut self, counter: &Counter, has_other: bool) {
        if let Some(first) = self.first_system().filter(|_| self.tools[0].tokens > 0) {
            self.recount_as(counter, first, !has_other);
        }
    }

    /// The sum over what is left.
    fn total(&self) -> Total {
        self.total_of(self.tools[usize::from(self.first_system().is_some())])
    }

    fn total_of(&self, tools: ToolsCount) -> Total {
        let mut total = Total::new(tools);
        for (count, receipt) in self.counts.iter().zip(&self.receipt) {
            if !receipt.is_gone() {
                total.add(count);
            }
        }
        total
    }

    fn plan(&self, counter: &Counter, request: &Request, parts: &Parts, budget: u64) -> Plan {
        let planner = Planner {
            counts: &self.counts,
            sections: &parts.sections,
            mandatory: &parts.ranking.mandatory,
            prompt: self.total().tokens(),
            slack: self.slack(),
            min_kept: counter.high.up(cut::MIN_KEPT),
            min_story: counter.high.up(cut::MIN_STORY),
            strategy: request.strategy,
            budgets: &request.budgets,
            options: &request.options,
        };
        planner.plan(budget)
    }

    /// A section that must stay and is larger than it may be.
    fn over_ceiling(&self, request: &Request, parts: &Parts) -> Option<Denial> {
        let user = self.said_by(&parts.ranking.last_user);
        let system = self.tokens_of(Section::System);
        let refused = request
            .budgets
            .system
            .filter(|_| request.budgets.refuse_system);
        let over = |cause, used: u64, ceiling: Option<u64>| {
            let limit = ceiling.filter(|ceiling| used > *ceiling)?;
            Some(Denial {
                cause,
                limit,
                excess: used - limit,
                completion: request.window.wanted(),
            })
        };
        over(Cause::UserInput, user, request.budgets.user)
            .or_else(|| over(Cause::SystemSection, system, refused))
    }

    /// All fits, and nobody has to be ranked.
    fn granted(self, counter: &Counter, request: &Request, total: Total, grant: Grant) -> Answer {
        let outcome = Outcome {
            is_fitted: false,
            lines: self.lines(request, &self.last_user(request)),
            total,
            work: self,
            counter,
            request,
            summary: None,
            grant,
        };
        outcome.into_answer()
    }

    fn denied(
        &self,
        counter: &Counter,
        request: &Request,
        prompt: u64,
        reached: u64,
        parts: &Parts,
        denial: &Denial,
    ) -> Answer {
        let least = self.plan(counter, request, parts, 0).reached;
        let room = request.window.room_beside(reached);
        let lines = self.lines(request, &parts.ranking.last_user);
        answer::denied(denial, prompt, least, room, lines)
    }
}

#[cfg(test)]
mod tests;
