//! The sections of a vocabulary's tables: a directory of offsets and lengths, then the sections,
//! each on a cache line's boundary.

use std::ops::Range;

/// The alignment of each section and, as the tables are compiled in, of the whole.
pub(crate) const ALIGNMENT: usize = 64;

/// What stands in the first word; another layout gets another number.
const MAGIC: u64 = u64::from_le_bytes(*b"tokens07");

#[derive(Clone, Copy)]
pub(crate) enum Section {
    Starts,
    Bytes,
    ShortKeys,
    ShortIds,
    LongSlots,
    ByteIds,
    BytePairs,
    PairSlots,
    Parts,
    Unreachable,
    Improper,
    Prefixes,
    LongPrefixes,
    LongLengths,
    StartSets,
    EndSets,
    ByteSets,
    LongestLength,
}

const COUNT: usize = Section::LongestLength as usize + 1;
const DIRECTORY_WORDS: usize = 1 + 2 * COUNT;

/// Joins the sections, given in the order of [`Section`].
pub(crate) fn join(sections: [Vec<u8>; COUNT]) -> Vec<u8> {
    let mut directory = vec![MAGIC];
    let mut end = (DIRECTORY_WORDS * 8).next_multiple_of(ALIGNMENT);
    for section in &sections {
        directory.extend([end as u64, section.len() as u64]);
        end = (end + section.len()).next_multiple_of(ALIGNMENT);
    }
    let mut tables: Vec<u8> = bytemuck::cast_slice(&directory).to_vec();
    for section in sections {
        tables.resize(tables.len().next_multiple_of(ALIGNMENT), 0);
        tables.extend(section);
    }
    tables.resize(end, 0);
    tables
}

/// One section as numbers, or nothing if these are not the tables that [`join`] made, or not
/// aligned.
pub(crate) fn section<T: bytemuck::Pod>(tables: &[u8], section: Section) -> Option<&[T]> {
    let directory: &[u64] = bytemuck::try_cast_slice(tables.get(..DIRECTORY_WORDS * 8)?).ok()?;
    if *directory.first()? != MAGIC {
        return None;
    }
    let at = 1 + 2 * section as usize;
    let start = *directory.get(at)? as usize;
    let length = *directory.get(at + 1)? as usize;
    let range: Range<usize> = start..start.checked_add(length)?;
    bytemuck::try_cast_slice(tables.get(range)?).ok()
}
