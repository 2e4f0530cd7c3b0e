//! A place in memory of which one can say how it is aligned.

pub struct Aligned {
    buffer: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// A copy of the tables so many bytes, 0 to 63, behind a boundary of 64.
    pub fn copy(tables: &[u8], off_by: usize) -> Aligned {
        let mut buffer = vec![0; tables.len() + 128];
        let start = (64 - buffer.as_ptr().addr() % 64) % 64 + off_by;
        buffer[start..start + tables.len()].copy_from_slice(tables);
        Aligned {
            buffer,
            start,
            length: tables.len(),
        }
    }

    pub fn tables(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.length]
    }
}
