//! Vocabularies and special tokens, taken from the crates that ship them.

use std::error::Error;
use std::fs;
use std::path::Path;

use tiktoken_rs::CoreBPE;
use token_tables::write_vocabulary;

/// Above every id of every encoding; tests/oracle compares the sizes found.
const ID_LIMIT: u32 = 1 << 18;

/// The tokens of one encoding by id, and which of them are special.
#[derive(Default)]
struct Tokens {
    ordinary: Vec<Vec<u8>>,
    special: Vec<(String, u32)>,
}

pub fn write(directory: &Path) -> Result<(), Box<dyn Error>> {
    // p50k_edit and o200k_harmony add special tokens to the vocabulary before them.
    write_tokens(
        directory,
        "r50k_base",
        true,
        openai(&tiktoken_rs::r50k_base()?)?,
    )?;
    write_tokens(
        directory,
        "p50k_base",
        true,
        openai(&tiktoken_rs::p50k_base()?)?,
    )?;
    write_tokens(
        directory,
        "p50k_edit",
        false,
        openai(&tiktoken_rs::p50k_edit()?)?,
    )?;
    write_tokens(
        directory,
        "cl100k_base",
        true,
        openai(&tiktoken_rs::cl100k_base()?)?,
    )?;
    write_tokens(
        directory,
        "o200k_base",
        true,
        openai(&tiktoken_rs::o200k_base()?)?,
    )?;
    write_tokens(
        directory,
        "o200k_harmony",
        false,
        openai(&tiktoken_rs::o200k_harmony()?)?,
    )?;
    for name in tiktoken::list_encodings() {
        let feature = format!("CARGO_FEATURE_{}", name.to_uppercase());
        if std::env::var_os(feature).is_some() {
            let source =
                tiktoken::get_encoding(name).ok_or("an encoding is listed, but missing")?;
            write_tokens(directory, name, true, open(source)?)?;
        }
    }
    Ok(())
}

fn write_tokens(
    directory: &Path,
    name: &str,
    own_vocabulary: bool,
    tokens: Tokens,
) -> Result<(), Box<dyn Error>> {
    if own_vocabulary {
        let tables =
            write_vocabulary(&tokens.ordinary).map_err(|error| format!("{name}: {error}"))?;
        fs::write(directory.join(format!("{name}.tables")), tables)?;
    }
    let mut special = tokens.special;
    special.sort();
    fs::write(
        directory.join(format!("{name}.special.rs")),
        format!("&{special:?}"),
    )?;
    Ok(())
}

/// tiktoken-rs tells the names of the special tokens only; the id is what the name is encoded to
/// when that one token is allowed.
fn openai(source: &CoreBPE) -> Result<Tokens, Box<dyn Error>> {
    let mut tokens = Tokens::default();
    let names = source.special_tokens();
    for name in &names {
        let (ids, _) = source.encode(name, &names)?;
        match ids[..] {
            [id] => tokens.special.push((String::from(*name), id)),
            _ => return Err(format!("the special token {name} has no id").into()),
        }
    }
    for id in 0..ID_LIMIT {
        let special = tokens.special.iter().any(|(_, known)| *known == id);
        let bytes = source.decode_bytes(&[id]).ok().filter(|_| !special);
        push(&mut tokens.ordinary, id, bytes.unwrap_or_default());
    }
    Ok(tokens)
}

/// The crate tiktoken tells only how many special tokens there are; they are the ones that are
/// found as what they are when special tokens are looked for, and not else.
fn open(source: &tiktoken::CoreBpe) -> Result<Tokens, Box<dyn Error>> {
    let mut tokens = Tokens::default();
    for id in 0..ID_LIMIT {
        let bytes = source.decode(&[id]);
        let special = str::from_utf8(&bytes).ok().filter(|text| {
            source.encode_with_special_tokens(text) == [id] && source.encode(text) != [id]
        });
        if let Some(name) = special {
            tokens.special.push((String::from(name), id));
        } else {
            push(&mut tokens.ordinary, id, bytes);
        }
    }
    if tokens.special.len() != source.num_special_tokens() {
        return Err("special tokens were not all found".into());
    }
    Ok(tokens)
}

fn push(ordinary: &mut Vec<Vec<u8>>, id: u32, bytes: Vec<u8>) {
    if !bytes.is_empty() {
        ordinary.resize(id as usize + 1, Vec::new());
        ordinary[id as usize] = bytes;
    }
}
