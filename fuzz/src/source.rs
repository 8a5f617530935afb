//! Structured input out of bytes: numbers and pieces, taken from the front, zero and empty where nothing is left, so that
//! every byte string is an input. Read next: `abi_calls.rs`, which takes most from it.

/// What is left of an input.
pub struct Source<'d> {
    rest: &'d [u8],
}

impl<'d> Source<'d> {
    pub fn new(data: &'d [u8]) -> Source<'d> {
        Source { rest: data }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Less than `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub fn one<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    pub fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let piece = self.take(8);
        bytes[..piece.len()].copy_from_slice(piece);
        u64::from_le_bytes(bytes)
    }

    pub fn take(&mut self, most: usize) -> &'d [u8] {
        let (piece, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        piece
    }

    /// A piece whose length, up to 65535, stands before it.
    pub fn piece(&mut self) -> &'d [u8] {
        let length = usize::from(self.byte()) | usize::from(self.byte()) << 8;
        self.take(length)
    }

    pub fn rest(&mut self) -> &'d [u8] {
        std::mem::take(&mut self.rest)
    }
}
