//! Tokens of issuers that callers have shown: each is bound, at its first use, to this ledger, this start of the host and
//! one account. The same account may use it until it ends, since one job runs several tools; any other use is a replay.
//! A login keeps beside it the hash of a short token that stands for it.
//!
//! The tables are made at the first use, so that a ledger from before has no need of any. Read next: `rules.rs`.

use super::{Act, LedgerError, draft, host_clock, record::Record, sqlite_rows::SqliteRows};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Row, params};

/// For how long a binding is kept after its token has ended: far longer than a clock may lag.
pub(crate) const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Short tokens that one token may stand behind.
pub(crate) const MOST_LOGINS: u64 = 64;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS presented (
    token BLOB NOT NULL PRIMARY KEY, boot TEXT NOT NULL, uid INTEGER NOT NULL, until INTEGER NOT NULL, said TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS login (sha256 BLOB NOT NULL PRIMARY KEY, token BLOB NOT NULL) WITHOUT ROWID;
";

/// A token that somebody shows, verified.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// What makes it this token and no other.
    pub token: [u8; 32],
    /// The account that shows it.
    pub uid: u32,
    /// From when on it says nothing.
    pub until: Timestamp,
    /// What has to be kept of it so that it can be judged again; no secret.
    pub said: &'a str,
    /// SHA-256 of a short token that is to stand for it.
    pub login: Option<[u8; 32]>,
    /// What the first use leaves in the records.
    pub act: Act<'a>,
}

/// What a short token stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// The account that it is for.
    pub uid: u32,
    /// It was made after this start of the host.
    pub is_of_this_boot: bool,
    /// From when on it is none.
    pub until: Timestamp,
    /// What was kept of the token.
    pub said: String,
}

/// To whom a token is bound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bound {
    pub(crate) boot: String,
    pub(crate) uid: u32,
    pub(crate) until: Timestamp,
    pub(crate) said: String,
}

impl Bound {
    pub(crate) fn is_same_user(&self, other: &Bound) -> bool {
        (&self.boot, self.uid) == (&other.boot, other.uid)
    }

    pub(crate) fn into_login(self) -> Login {
        let is_of_this_boot = host_clock::boot_id() == Some(self.boot.as_str());
        Login { uid: self.uid, is_of_this_boot, until: self.until, said: self.said }
    }
}

/// A use, ready to be bound.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Bind {
    pub(crate) token: [u8; 32],
    pub(crate) bound: Bound,
    pub(crate) login: Option<[u8; 32]>,
    pub(crate) record: Record,
}

/// # Errors
/// Nobody knows which start of the host this is.
pub(crate) fn bind(presented: &Presented<'_>) -> Result<Bind, LedgerError> {
    let boot = host_clock::boot_id().ok_or_else(|| {
        LedgerError::Unusable("the host does not tell its boot id, which ID tokens are bound to".to_owned())
    })?;
    let bound =
        Bound { boot: boot.to_owned(), uid: presented.uid, until: presented.until, said: presented.said.to_owned() };
    Ok(Bind { token: presented.token, bound, login: presented.login, record: draft::act(&presented.act) })
}

impl SqliteRows<'_> {
    /// To whom a token is bound, if it was ever used.
    pub(crate) fn bound_token(&self, token: &[u8; 32]) -> Result<Option<Bound>, LedgerError> {
        if !self.has_presented()? {
            return Ok(None);
        }
        let sql = "SELECT boot, uid, until, said FROM presented WHERE token = $1";
        self.find(sql, [token.as_slice()], read)?.map(bound).transpose()
    }

    /// What a short token stands for.
    pub(crate) fn login(&self, sha256: &[u8; 32]) -> Result<Option<([u8; 32], Bound)>, LedgerError> {
        if !self.has_presented()? {
            return Ok(None);
        }
        let sql = "SELECT token FROM login WHERE sha256 = $1";
        let Some(token) = self.find(sql, [sha256.as_slice()], |row| row.get::<_, [u8; 32]>(0))? else {
            return Ok(None);
        };
        Ok(self.bound_token(&token)?.map(|bound| (token, bound)))
    }

    /// How many short tokens stand for it.
    pub(crate) fn logins_of(&self, token: &[u8; 32]) -> Result<u64, LedgerError> {
        let sql = "SELECT COUNT(*) FROM login WHERE token = $1";
        let count = self.find(sql, [token.as_slice()], |row| row.get::<_, i64>(0))?.unwrap_or(0);
        u64::try_from(count).map_err(|_| LedgerError::Damaged("a count is negative".to_owned()))
    }

    pub(crate) fn write_bound(&self, token: &[u8; 32], bound: &Bound) -> Result<(), LedgerError> {
        self.make_presented()?;
        let sql = "INSERT INTO presented (token, boot, uid, until, said) VALUES ($1, $2, $3, $4, $5)";
        let until = bound.until.as_second();
        self.execute(sql, params![token.as_slice(), bound.boot, i64::from(bound.uid), until, bound.said]).map(drop)
    }

    pub(crate) fn write_login(&self, sha256: &[u8; 32], token: &[u8; 32]) -> Result<(), LedgerError> {
        let sql = "INSERT INTO login (sha256, token) VALUES ($1, $2)";
        self.execute(sql, params![sha256.as_slice(), token.as_slice()]).map(drop)
    }

    /// Forgets the tokens that ended before this moment, and what stands for them.
    pub(crate) fn forget_bound(&self, before: Timestamp) -> Result<(), LedgerError> {
        if !self.has_presented()? {
            return Ok(());
        }
        let ended = before.as_second();
        self.execute("DELETE FROM login WHERE token IN (SELECT token FROM presented WHERE until < $1)", [ended])?;
        self.execute("DELETE FROM presented WHERE until < $1", [ended]).map(drop)
    }

    fn has_presented(&self) -> Result<bool, LedgerError> {
        let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'login'";
        self.find(sql, [], |row| row.get::<_, i64>(0)).map(|found| found.is_some())
    }

    fn make_presented(&self) -> Result<(), LedgerError> {
        for table in TABLES.split(';').map(str::trim).filter(|table| !table.is_empty()) {
            self.execute(table, [])?;
        }
        Ok(())
    }
}

type Read = (String, i64, i64, String);

fn read(row: &Row<'_>) -> rusqlite::Result<Read> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn bound((boot, uid, until, said): Read) -> Result<Bound, LedgerError> {
    let damaged = || LedgerError::Damaged("the binding of an ID token can not be read".to_owned());
    let uid = u32::try_from(uid).map_err(|_| damaged())?;
    Ok(Bound { boot, uid, until: Timestamp::from_second(until).map_err(|_| damaged())?, said })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{
        Calling, DecisionId, Durability, Kind, Ledger, MemoryLedger, Mode, Settings, SqliteLedger, create, sample,
    };

    fn presented(token: u8, uid: u32, login: Option<u8>, at: Timestamp) -> Presented<'static> {
        Presented {
            token: [token; 32],
            uid,
            until: at.checked_add(SignedDuration::from_mins(10)).unwrap(),
            said: "what was said",
            login: login.map(|login| [login; 32]),
            act: Act {
                decision: DecisionId::from_parts(at, [token; 16]),
                at,
                mode: Mode::Enforced,
                principal: None,
                calling: Calling::default(),
                action: "log_in",
                object: "https://ci.example",
                permitted: true,
                detail: "",
            },
        }
    }

    fn both(test: impl Fn(&dyn Ledger)) {
        test(&MemoryLedger::new("here", sample::noon()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            folder: folder.path().join("state"),
            store_id: Some("here".to_owned()),
            durability: Durability::Full,
            mode: Mode::Advisory,
        };
        create(&settings, sample::noon()).unwrap();
        test(&SqliteLedger::new(settings));
    }

    #[test]
    fn the_first_account_that_shows_a_token_may_show_it_again_and_no_other_may() {
        both(|ledger| {
            let at = sample::noon();
            for _ in 0..3 {
                assert_eq!(ledger.present(&presented(1, 1000, None, at)), Ok(()));
            }
            assert_eq!(ledger.present(&presented(1, 1001, None, at)), Err(LedgerError::Replayed));
            assert_eq!(ledger.present(&presented(1, 1001, Some(9), at)), Err(LedgerError::Replayed));
            assert_eq!(ledger.login(&[9; 32]), Ok(None), "a refused login leaves nothing");
            assert_eq!(ledger.present(&presented(2, 1001, None, at)), Ok(()), "another token");
        });
    }

    #[test]
    fn a_short_token_stands_for_one_token_and_tells_whose_it_is() {
        both(|ledger| {
            let at = sample::noon();
            assert_eq!(ledger.login(&[9; 32]), Ok(None));
            for _ in 0..2 {
                assert_eq!(ledger.present(&presented(1, 1000, Some(9), at)), Ok(()));
            }
            let login = ledger.login(&[9; 32]).unwrap().unwrap();
            assert_eq!((login.uid, login.is_of_this_boot, login.said.as_str()), (1000, true, "what was said"));
            assert_eq!(ledger.present(&presented(1, 1000, Some(8), at)), Ok(()), "a second login of the job");
            assert_eq!(ledger.present(&presented(2, 1000, Some(9), at)), Err(LedgerError::Replayed), "it is taken");
            for number in 10..=u8::MAX {
                let one_more = ledger.present(&presented(1, 1000, Some(number), at));
                let has_room = u64::from(number) < 10 + MOST_LOGINS - 2;
                assert_eq!(one_more.is_ok(), has_room, "{number}");
            }
        });
    }

    #[test]
    fn a_token_is_forgotten_only_long_after_its_end_and_never_by_a_clock_turned_back() {
        both(|ledger| {
            let at = sample::noon();
            ledger.present(&presented(1, 1000, Some(9), at)).unwrap();
            let later = at.checked_add(SignedDuration::from_hours(20)).unwrap();
            ledger.present(&presented(2, 1000, None, later)).unwrap();
            assert!(ledger.login(&[9; 32]).unwrap().is_some());
            // A clock that was turned back makes no ended token good, or unused.
            let back = ledger.present(&presented(3, 1000, None, at));
            assert!(matches!(back, Err(LedgerError::ClockTurnedBack { .. })), "{back:?}");
            let end = at.checked_add(SignedDuration::from_hours(48)).unwrap();
            ledger.present(&presented(4, 1000, None, end)).unwrap();
            ledger.present(&presented(5, 1000, None, end)).unwrap();
            assert_eq!(ledger.login(&[9; 32]), Ok(None));
        });
    }

    #[test]
    fn the_first_use_and_each_login_are_recorded() {
        let ledger = MemoryLedger::new("here", sample::noon()).unwrap();
        for login in [None, None, Some(9), Some(9)] {
            ledger.present(&presented(1, 1000, login, sample::noon())).unwrap();
        }
        let acts = ledger.records().into_iter().filter(|record| record.kind == Kind::Act).count();
        assert_eq!(acts, 2);
    }
}
