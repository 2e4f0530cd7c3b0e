//! A class for every character, in two steps: a block of characters by its number, equal blocks
//! only once.

/// Code points, surrogates included.
pub const CHARACTERS: usize = 0x11_0000;

/// Characters of a block.
const BLOCK: usize = 128;

/// What [`compress_classes`] makes: the class of a character `c` is
/// `blocks[index[c >> 7]][c & 127]`.
pub struct CompressedClasses {
    pub index: Vec<u16>,
    pub blocks: Vec<[u8; BLOCK]>,
}

/// Compresses a class for each code point.
pub fn compress_classes(classes: &[u8]) -> CompressedClasses {
    let mut blocks: Vec<[u8; BLOCK]> = Vec::new();
    let index = classes
        .chunks(BLOCK)
        .map(|chunk| {
            let mut block = [0; BLOCK];
            block[..chunk.len()].copy_from_slice(chunk);
            let found = blocks.iter().position(|known| *known == block);
            let at = found.unwrap_or_else(|| {
                blocks.push(block);
                blocks.len() - 1
            });
            at as u16
        })
        .collect();
    CompressedClasses { index, blocks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn every_class_is_found_again() {
        let classes: Vec<u8> = (0..CHARACTERS)
            .map(|c| (c / 1000 % 7 + usize::from(c % 4099 == 0)) as u8)
            .collect();
        let compressed = compress_classes(&classes);
        assert!(compressed.blocks.len() < compressed.index.len());
        for (c, class) in classes.iter().enumerate() {
            let block = compressed.index[c / BLOCK];
            assert_eq!(compressed.blocks[usize::from(block)][c % BLOCK], *class);
        }
    }
}
