//! From text to tokens: piece by piece, each found in the vocabulary, or in the cache, or merged.

use std::cell::RefCell;
use std::ops::ControlFlow::{self, Break, Continue};

use token_tables::NONE;

use super::cache::{self, Cache, Tokens, long_key, short_key};
use super::merge::{Scratch, merge_piece};
use super::split::{Cl100k, DeepSeek, Kimi, Llama3, Mistral, O200k, Qwen2, R50k, Split};
use super::{Encoding, Pattern};
use crate::interrupt;

/// What becomes of the tokens, in the order of the text. To break ends the work.
pub(super) trait Sink {
    /// A piece starts here; its tokens follow.
    #[inline(always)]
    fn piece(&mut self, _start: usize) {}

    fn token(&mut self, id: u32) -> ControlFlow<()>;
    fn tokens(&mut self, ids: &[u32]) -> ControlFlow<()>;

    fn kept(&mut self, tokens: Tokens) -> ControlFlow<()>;
}

pub(super) struct Count(pub usize);

impl Sink for Count {
    #[inline(always)]
    fn token(&mut self, _id: u32) -> ControlFlow<()> {
        self.0 += 1;
        Continue(())
    }

    #[inline(always)]
    fn tokens(&mut self, ids: &[u32]) -> ControlFlow<()> {
        self.0 += ids.len();
        Continue(())
    }

    #[inline(always)]
    fn kept(&mut self, tokens: Tokens) -> ControlFlow<()> {
        self.0 += tokens.count();
        Continue(())
    }
}

/// Breaks when there are more than `limit`.
pub(super) struct CountUpTo {
    pub count: usize,
    pub limit: usize,
}

impl CountUpTo {
    #[inline(always)]
    fn add(&mut self, count: usize) -> ControlFlow<()> {
        self.count += count;
        if self.count > self.limit {
            Break(())
        } else {
            Continue(())
        }
    }
}

impl Sink for CountUpTo {
    #[inline(always)]
    fn token(&mut self, _id: u32) -> ControlFlow<()> {
        self.add(1)
    }

    #[inline(always)]
    fn tokens(&mut self, ids: &[u32]) -> ControlFlow<()> {
        self.add(ids.len())
    }

    #[inline(always)]
    fn kept(&mut self, tokens: Tokens) -> ControlFlow<()> {
        self.add(tokens.count())
    }
}

pub(super) struct Ids(pub Vec<u32>);

impl Sink for Ids {
    #[inline(always)]
    fn token(&mut self, id: u32) -> ControlFlow<()> {
        self.0.push(id);
        Continue(())
    }

    #[inline(always)]
    fn tokens(&mut self, ids: &[u32]) -> ControlFlow<()> {
        self.0.extend_from_slice(ids);
        Continue(())
    }

    #[inline(always)]
    fn kept(&mut self, tokens: Tokens) -> ControlFlow<()> {
        self.0.extend(tokens.ids());
        Continue(())
    }
}

/// What a thread keeps from call to call: the cache, and memory to merge in.
struct Workspace {
    cache: Cache,
    scratch: Scratch,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = const {
        RefCell::new(Workspace { cache: Cache::new(), scratch: Scratch::new() })
    };
}

#[inline(always)]
fn with_workspace<R>(work: impl FnOnce(&mut Workspace) -> R) -> R {
    WORKSPACE.with(|workspace| match workspace.try_borrow_mut() {
        Ok(mut workspace) => work(&mut workspace),
        // A hook that counts on its own, in the middle of a count.
        Err(_) => work(&mut Workspace::new()),
    })
}

impl Encoding {
    pub(super) fn with_special<S: Sink>(&self, text: &str, sink: &mut S) -> ControlFlow<()> {
        let mut start = 0;
        while let Some((range, id)) = self.special.find(text, start) {
            // A special token ends the text before it, as the end of the input would.
            self.ordinary(text.get(start..range.start).unwrap_or_default(), sink)?;
            sink.token(id)?;
            start = range.end;
        }
        self.ordinary(text.get(start..).unwrap_or_default(), sink)
    }

    pub(super) fn ordinary<S: Sink>(&self, text: &str, sink: &mut S) -> ControlFlow<()> {
        with_workspace(|workspace| self.pieces(text.as_bytes(), workspace, sink))
    }

    fn pieces<S: Sink>(
        &self,
        text: &[u8],
        workspace: &mut Workspace,
        sink: &mut S,
    ) -> ControlFlow<()> {
        match self.info.pattern {
            Pattern::R50k => self.pieces_of::<R50k, S>(text, workspace, sink),
            Pattern::Cl100k => self.pieces_of::<Cl100k, S>(text, workspace, sink),
            Pattern::Llama3 => self.pieces_of::<Llama3, S>(text, workspace, sink),
            Pattern::Qwen2 => self.pieces_of::<Qwen2, S>(text, workspace, sink),
            Pattern::O200k => self.pieces_of::<O200k, S>(text, workspace, sink),
            Pattern::Mistral => self.pieces_of::<Mistral, S>(text, workspace, sink),
            Pattern::Kimi => self.pieces_of::<Kimi, S>(text, workspace, sink),
            Pattern::DeepSeek => self.pieces_of::<DeepSeek, S>(text, workspace, sink),
        }
    }

    /// The end of the piece that starts at `start`, before the end of the text.
    pub(super) fn piece_end(&self, text: &str, start: usize) -> usize {
        let end = match self.info.pattern {
            Pattern::R50k => R50k::piece_end,
            Pattern::Cl100k => Cl100k::piece_end,
            Pattern::Llama3 => Llama3::piece_end,
            Pattern::Qwen2 => Qwen2::piece_end,
            Pattern::O200k => O200k::piece_end,
            Pattern::Mistral => Mistral::piece_end,
            Pattern::Kimi => Kimi::piece_end,
            Pattern::DeepSeek => DeepSeek::piece_end,
        };
        end(text.as_bytes(), start)
    }

    /// The tokens of a piece of many, or of the rest of one behind the token `before`.
    pub(super) fn merged(&self, piece: &[u8], before: u32) -> Vec<u32> {
        let mut ids = Ids(Vec::new());
        let _ = with_workspace(|Workspace { scratch, .. }| {
            merge_piece(&self.vocabulary, piece, before, scratch, &mut ids)
        });
        ids.0
    }

    fn pieces_of<P: Split, S: Sink>(
        &self,
        text: &[u8],
        workspace: &mut Workspace,
        sink: &mut S,
    ) -> ControlFlow<()> {
        let mut start = 0;
        let mut next_check = interrupt::INTERVAL_BYTES;
        while start < text.len() {
            let end = P::piece_end(text, start);
            sink.piece(start);
            if end - start <= cache::SHORT {
                let key = short_key(self.tag, text, start, end);
                match workspace.cache.get(key) {
                    Some(tokens) => sink.kept(tokens)?,
                    None => self.short_piece(text, start, end, key, workspace, sink)?,
                }
            } else {
                self.long_piece(text, start, end, workspace, sink)?;
            }
            start = end;
            if end >= next_check {
                interrupt::check();
                next_check = end + interrupt::INTERVAL_BYTES;
            }
        }
        Continue(())
    }

    #[inline(never)]
    fn short_piece<S: Sink>(
        &self,
        text: &[u8],
        start: usize,
        end: usize,
        key: u128,
        Workspace { cache, scratch }: &mut Workspace,
        sink: &mut S,
    ) -> ControlFlow<()> {
        let id = self.vocabulary.id(text, start, end);
        if id != NONE {
            cache.put(key, &[id]);
            return sink.token(id);
        }
        let piece = text.get(start..end).unwrap_or_default();
        merge_piece(&self.vocabulary, piece, NONE, scratch, sink)?;
        cache.put(key, &scratch.ids);
        Continue(())
    }

    #[inline(never)]
    fn long_piece<S: Sink>(
        &self,
        text: &[u8],
        start: usize,
        end: usize,
        Workspace { cache, scratch }: &mut Workspace,
        sink: &mut S,
    ) -> ControlFlow<()> {
        let piece = text.get(start..end).unwrap_or_default();
        if piece.len() > cache::LONG {
            return match self.vocabulary.id(text, start, end) {
                NONE => merge_piece(&self.vocabulary, piece, NONE, scratch, sink),
                id => sink.token(id),
            };
        }
        let key = long_key(self.tag, text, start, end);
        if let Some(tokens) = cache.get_long(key) {
            return sink.kept(tokens);
        }
        let id = self.vocabulary.id(text, start, end);
        if id != NONE {
            cache.put_long(key, &[id]);
            return sink.token(id);
        }
        merge_piece(&self.vocabulary, piece, NONE, scratch, sink)?;
        cache.put_long(key, &scratch.ids);
        Continue(())
    }
}

impl Workspace {
    fn new() -> Workspace {
        Workspace {
            cache: Cache::new(),
            scratch: Scratch::new(),
        }
    }
}
