//! Who gives tiktoken-rs's ids: others are not measured.

use crate::contestants::{Engine, catch_panic};

/// The ids of each text, or `None` where the engine panics on one of them.
pub fn encode_all(engine: &Engine, texts: &[&str]) -> Option<Vec<Vec<u32>>> {
    catch_panic(|| texts.iter().map(|text| engine.encode(text)).collect())
}

/// The first text of which the engine does not give the expected ids and count, in words.
pub fn find_disagreement(
    engine: &Engine,
    texts: &[&str],
    expected: Option<&[Vec<u32>]>,
) -> Option<String> {
    let Some(expected) = expected else {
        return Some("tiktoken-rs panics".to_owned());
    };
    let mut numbered = texts.iter().zip(expected).enumerate();
    numbered.find_map(|(number, (text, expected))| {
        let Some((ids, count)) = catch_panic(|| (engine.encode(text), engine.count(text))) else {
            return Some(format!("panics on text {number}"));
        };
        if ids != *expected {
            let same = ids.iter().zip(expected).take_while(|(a, b)| a == b);
            let same = same.count();
            return Some(format!("other ids in text {number}, from token {same} on"));
        }
        let tokens = expected.len();
        (count != tokens).then(|| format!("counts {count} of {tokens} tokens in text {number}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestants::Contestant;

    #[test]
    fn other_ids_are_found() {
        let engine = Contestant::TiktokenRs.build("cl100k_base").unwrap();
        let texts = ["one", "two three"];
        let mut expected = encode_all(&engine, &texts).unwrap();
        assert_eq!(find_disagreement(&engine, &texts, Some(&expected)), None);
        expected[1][1] += 1;
        assert_eq!(
            find_disagreement(&engine, &texts, Some(&expected)).as_deref(),
            Some("other ids in text 1, from token 1 on")
        );
        assert!(find_disagreement(&engine, &texts, None).is_some());
    }
}
