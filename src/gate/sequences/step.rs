//! The steps of random sequences: which there are, how often each comes, and the numbers they draw on. A sequence is
//! told by its seed alone. Read next: `model.rs`.

use super::scene::{Conduct, Version};

/// One call, or one change outside. Numbers choose among what there is, so that a sequence stays one when steps are left
/// out of it.
#[derive(Clone, Debug)]
pub enum Step {
    Open(u8),
    Close(u8),
    CloseAll(u8),
    LogIn(u8, u8),
    LogOut(u8),
    Find(u8),
    Begin(u8, u8, bool),
    Part(u8, u8),
    Sign(u8, u8, u8),
    End(u8, u8),
    Cancel(u8),
    LogInForOperation(u8),
    Policy(Version),
    Token(Conduct),
    Ledger(bool),
    Renew,
    Race(Vec<Step>),
}

/// xorshift64*: the sequences are told by one number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    }

    fn below(&mut self, end: u64) -> u8 {
        u8::try_from(self.next() % end).unwrap()
    }
}

/// A sequence: usually a caller who gets somewhere, so that there is something to break.
pub fn sequence(seed: u64) -> Vec<Step> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    random.next();
    let mut steps = Vec::new();
    if random.below(4) > 0 {
        let slot = random.below(3);
        steps.extend([Step::Open(slot), Step::LogIn(0, 0), Step::Find(0)]);
    }
    let length = 4 + random.below(24);
    steps.extend((0..length).map(|_| step(&mut random, true)));
    steps
}

fn step(random: &mut Random, may_race: bool) -> Step {
    let session = random.below(4);
    match random.below(100) {
        0..8 => Step::Open(random.below(3)),
        8..11 => Step::Close(session),
        11..12 => Step::CloseAll(random.below(3)),
        12..20 => Step::LogIn(session, [0, 0, 0, 1, 2][usize::from(random.below(5))]),
        20..22 => Step::LogOut(session),
        22..30 => Step::Find(session),
        30..48 => Step::Begin(session, random.below(4), random.below(3) == 0),
        48..54 => Step::Part(session, random.below(3)),
        54..74 => Step::Sign(session, random.below(6), random.below(6)),
        74..80 => Step::End(session, random.below(6)),
        80..82 => Step::Cancel(session),
        82..83 => Step::LogInForOperation(session),
        83..89 => Step::Policy(match random.below(2) {
            0 => Version::Usual,
            _ => Version::ALL[usize::from(random.below(8))],
        }),
        89..93 => Step::Token(match random.below(2) {
            0 => Conduct::Honest,
            _ => Conduct::ALL[usize::from(random.below(6))],
        }),
        93..95 => Step::Ledger(random.below(3) == 0),
        95..97 => Step::Renew,
        _ if may_race => Step::Race((0..2 + random.below(2)).map(|_| step(random, false)).collect()),
        _ => Step::Sign(session, 0, 5),
    }
}

/// Parts, texts and hash values: few, so that their signatures are made once.
pub const TEXTS: [&[u8]; 3] = [b"", b"a", b"message"];

pub fn data(number: u8) -> Vec<u8> {
    match number {
        0..3 => vec![7 + number; 32],
        3 => vec![7; 31],
        other => TEXTS[usize::from(other - 3) % 3].to_vec(),
    }
}

/// A question, a byte too few, none at all, or enough.
pub fn room(number: u8) -> Option<usize> {
    match number {
        0 => None,
        1 => Some(63),
        2 => Some(0),
        3 => Some(4096),
        _ => Some(64),
    }
}
