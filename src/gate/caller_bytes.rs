//! Bytes that belong to the caller and may change while we look: they are only ever copied, each byte once.

/// Message bytes in the caller's memory.
pub trait CallerBytes {
    /// How many there are.
    fn len(&self) -> usize;

    /// Copies from `offset` on, as many as there are and as `into` holds.
    fn copy(&self, offset: usize, into: &mut [u8]);

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands every byte once to `sink`, in order, in pieces of bounded size.
    fn for_each_piece(&self, sink: &mut dyn FnMut(&[u8])) {
        let mut piece = [0u8; 4096];
        let mut offset = 0usize;
        while offset < self.len() {
            let count = self.len().saturating_sub(offset).min(piece.len());
            let Some(part) = piece.get_mut(..count) else { return };
            self.copy(offset, part);
            sink(part);
            offset = offset.saturating_add(count);
        }
    }
}

impl CallerBytes for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn copy(&self, offset: usize, into: &mut [u8]) {
        for (target, source) in into.iter_mut().zip(self.iter().skip(offset)) {
            *target = *source;
        }
    }
}
