//! Changed inputs: a fixed series for each target, so that a failure is found again. Bytes are flipped, replaced, removed and
//! doubled, and pieces of two inputs are joined, as a fuzzer does that knows nothing of the format.

/// xorshift64* with a start of the target's own.
pub struct Dice(u64);

const TELLING: [&[u8]; 16] = [
    b"\"",
    b"\\",
    b"\n",
    b"\0",
    b"{",
    b"[",
    b":",
    b",",
    b"-1",
    b"18446744073709551616",
    b"1e9",
    b"null",
    b"\\u0000",
    "\u{202e}".as_bytes(),
    b"\xff",
    b"\x7f",
];

impl Dice {
    pub fn new(target: &str) -> Dice {
        Dice(
            target
                .bytes()
                .fold(0x9e37_79b9_7f4a_7c15, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)),
        )
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % bound.max(1)
    }

    /// One of the inputs, with one to four changes.
    pub fn changed(&mut self, inputs: &[&Vec<u8>]) -> Vec<u8> {
        let mut data = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(data.len() + 1);
            let end = (at + 1 + self.below(8)).min(data.len());
            match self.below(8) {
                0 | 1 if at < data.len() => data[at] ^= 1 << self.below(8),
                2 if at < data.len() => data[at] = u8::try_from(self.below(256)).expect("a byte"),
                3 => drop(data.drain(at.min(end)..end)),
                4 => {
                    let piece = data[at.min(end)..end].to_vec();
                    data.splice(at..at, piece);
                }
                5 => drop(data.splice(at..at, TELLING[self.below(TELLING.len())].iter().copied())),
                6 => {
                    let other = inputs[self.below(inputs.len())];
                    let from = self.below(other.len() + 1);
                    let to = (from + self.below(64)).min(other.len());
                    data.splice(at..at, other[from..to].iter().copied());
                }
                _ => data.truncate(at),
            }
        }
        data
    }
}
