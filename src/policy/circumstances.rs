//! Check 11: from which place, known by what, which files, and at what time a signer signs. What the gate can not see does not match.
//! How fast it may is `rate.rs`. The calling program is the caller's own word: a filter, never proof.
//! Read next: `rate.rs`, `decide.rs`.

use super::{
    access::{Refused, Subject},
    decision::{Attempt, Caller, Check, Counts, Denial, Outcome, Source, Trace},
    index::{CallingProgram, Hours, Place},
    model::Day,
    rate::{self, Rate},
    reason::Reason,
};
use jiff::{Timestamp, civil::Weekday};

/// Why a scope of files does not match where the caller showed none.
pub(super) const NO_ARTIFACT: &str = "no file was shown: PKCS#11 shows the gate none, signtool does";

/// Check 11; gives the rate that the ledger has to keep.
pub(super) fn allow<T: Trace + ?Sized>(
    subject: Subject<'_>,
    attempt: &Attempt<'_>,
    counts: &dyn Counts,
    trace: &mut T,
) -> Result<Option<Rate>, Refused> {
    let signer = subject.signer.signer;
    let name = subject.signer;
    if let Some(wrong) = signer.place.as_ref().and_then(|place| place.mismatch(attempt)) {
        let detail = format_args!("`{name}` does not sign from this {wrong}");
        return Err(Refused::new(Check::Circumstances, Denial::new(Reason::WrongPlace, detail)));
    }
    if let Some(wanted) = signer.place.as_ref().and_then(|place| place.artifacts.as_deref())
        && !attempt.artifact.is_some_and(|shown| wanted.contains(shown))
    {
        let detail = match attempt.artifact {
            None => format!("`{name}` signs certain files only, and {NO_ARTIFACT}"),
            Some(shown) => format!("`{name}` does not sign the file {}", data_encoding::HEXLOWER.encode(shown)),
        };
        return Err(Refused::new(Check::Circumstances, Denial::new(Reason::WrongArtifact, detail)));
    }
    if let Some(wrong) = signer.when.as_ref().and_then(|hours| hours.mismatch(attempt.now)) {
        let detail = format_args!("`{name}` does not sign {wrong}");
        return Err(Refused::new(Check::Circumstances, Denial::new(Reason::WrongTime, detail)));
    }
    if let Some(rate) = signer.rate {
        let kept = rate::keeps(rate, subject.signer, attempt, counts)?;
        trace.step(Check::Circumstances, Outcome::Passed, &kept);
    } else if signer.place.is_some() || signer.when.is_some() {
        trace.step(Check::Circumstances, Outcome::Passed, &"place and time");
    } else {
        trace.step(Check::Circumstances, Outcome::NotAsked, &"the signer names no place, time or rate");
    }
    Ok(signer.rate)
}

impl Place {
    /// The first member that does not match.
    fn mismatch(&self, attempt: &Attempt<'_>) -> Option<&'static str> {
        let caller = attempt.caller;
        let is_one = |list: &Option<Box<[String]>>, seen: &Option<String>| match (list, seen) {
            (None, _) => true,
            (Some(list), Some(seen)) => list.contains(seen),
            (Some(_), None) => false,
        };
        if self.applications.as_ref().is_some_and(|programs| !programs.iter().any(|program| program.is(caller))) {
            return Some("program");
        }
        if !is_one(&self.hosts, &caller.hostname) {
            return Some("host");
        }
        if !is_one(&self.os_users, &caller.os_user) {
            return Some("operating system user");
        }
        if self.modes.as_ref().is_some_and(|modes| caller.mode.is_none_or(|mode| !modes.contains(&mode))) {
            return Some("mode");
        }
        let source = attempt.principal.map(|known| known.source.word());
        let is_taken = |sources: &[Source]| source.is_some_and(|source| sources.contains(&source));
        self.identified_by.as_ref().is_some_and(|sources| !is_taken(sources)).then_some("identity source")
    }
}

impl CallingProgram {
    /// A name without a slash is that of the file, wherever it lies.
    fn is(&self, caller: &Caller) -> bool {
        let path = caller.application.as_deref();
        let named = match &self.name {
            None => true,
            Some(name) if name.contains('/') => path == Some(name),
            Some(name) => path.and_then(|path| path.rsplit('/').next()) == Some(name),
        };
        named && (self.sha256.is_none() || self.sha256 == caller.application_sha256)
    }
}

impl Hours {
    /// What of the moment does not match, with the moment as the signer's zone has it.
    fn mismatch(&self, now: Timestamp) -> Option<String> {
        let local = now.to_zoned(self.zone.clone());
        let day = day_of(local.weekday());
        let minute = u32::try_from(local.hour()).unwrap_or(0).saturating_mul(60);
        let minute = minute.saturating_add(u32::try_from(local.minute()).unwrap_or(0));
        if self.days.as_ref().is_some_and(|days| !days.contains(&day)) {
            return Some(format!("on this day ({day} in {})", self.zone_name));
        }
        let is_within = |(from, until): (u32, u32)| {
            if from < until { from <= minute && minute < until } else { from <= minute || minute < until }
        };
        let outside = self.hours.is_some_and(|hours| !is_within(hours));
        outside.then(|| format!("at this hour ({:02}:{:02} in {})", local.hour(), local.minute(), self.zone_name))
    }
}

fn day_of(weekday: Weekday) -> Day {
    match weekday {
        Weekday::Monday => Day::Monday,
        Weekday::Tuesday => Day::Tuesday,
        Weekday::Wednesday => Day::Wednesday,
        Weekday::Thursday => Day::Thursday,
        Weekday::Friday => Day::Friday,
        Weekday::Saturday => Day::Saturday,
        Weekday::Sunday => Day::Sunday,
    }
}

/// `08:00-18:00` as minutes since midnight. The end may come first: over midnight.
pub(super) fn minutes(text: &str) -> Option<(u32, u32)> {
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let number = |text: &str| (text.len() == 2).then(|| text.parse::<u32>().ok()).flatten();
        let (hour, minute) = (number(hour)?, number(minute)?);
        let minutes = hour.checked_mul(60)?.checked_add(minute)?;
        (minute < 60 && minutes <= 24 * 60).then_some(minutes)
    };
    let (from, until) = text.split_once('-')?;
    let (from, until) = (minute(from)?, minute(until)?);
    (from != until && from < 24 * 60).then_some((from, until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{
        Decision,
        fixture::{Expected, Try, check, policy_with},
    };
    use serde_json::{Value, json};

    fn with(member: &str, value: Value) -> crate::policy::Policy {
        policy_with(|document| document["signers"]["direct"][member] = value)
    }

    fn at(text: &str) -> Try {
        Try { now: text.parse().unwrap(), ..Try::new("direct") }
    }

    #[test]
    fn hours_are_those_of_the_zone_and_may_go_over_midnight() {
        let policy = with(
            "when",
            json!({ "days": ["mon", "tue", "wed", "thu", "fri"], "hours": "08:00-18:00", "zone": "Europe/Berlin" }),
        );
        let denied = Expected::Denied(Reason::WrongTime);
        // 2026-06-01 is a Monday; Berlin is two hours ahead of UTC in summer and one in winter.
        for (moment, expected) in [
            ("2026-06-01T06:00:00Z", Expected::Member),
            ("2026-06-01T05:59:59Z", denied),
            ("2026-06-01T15:59:59Z", Expected::Member),
            ("2026-06-01T16:00:00Z", denied),
            ("2026-12-01T06:30:00Z", denied),
            ("2026-12-01T07:00:00Z", Expected::Member),
            ("2026-06-06T10:00:00Z", denied),
            ("2026-06-07T22:30:00Z", denied),
        ] {
            check(&policy, &at(moment), expected);
        }
        let night = with("when", json!({ "hours": "22:00-06:00", "zone": "UTC" }));
        for (moment, expected) in [
            ("2026-06-01T21:59:00Z", denied),
            ("2026-06-01T22:00:00Z", Expected::Member),
            ("2026-06-02T05:59:00Z", Expected::Member),
            ("2026-06-02T06:00:00Z", denied),
        ] {
            check(&night, &at(moment), expected);
        }
    }

    #[test]
    fn a_place_matches_by_program_hash_host_and_user_and_never_by_what_is_not_seen() {
        let hash = "ab".repeat(32);
        let place = json!({ "applications": [{ "name": "jarsigner" }, { "name": "/usr/bin/openssl", "sha256": hash }],
                            "hosts": ["build-1"], "os_users": ["jenkins"] });
        let policy = with("where", place);
        assert!(policy.signer("direct").unwrap().needs_application_sha256());
        let good = Caller {
            application: Some("/opt/java/bin/jarsigner".to_owned()),
            hostname: Some("build-1".to_owned()),
            os_user: Some("jenkins".to_owned()),
            ..Caller::default()
        };
        let ssl =
            Caller { application: Some("/usr/bin/openssl".to_owned()), application_sha256: Some(hash), ..good.clone() };
        let denied = Expected::Denied(Reason::WrongPlace);
        let other = |change: fn(&mut Caller)| {
            let mut caller = ssl.clone();
            change(&mut caller);
            caller
        };
        for (caller, expected) in [
            (good, Expected::Member),
            (ssl.clone(), Expected::Member),
            (other(|caller| caller.application_sha256 = None), denied),
            (other(|caller| caller.application = Some("/tmp/openssl".to_owned())), denied),
            (other(|caller| caller.hostname = Some("build-2".to_owned())), denied),
            (other(|caller| caller.hostname = None), denied),
            (Caller::default(), denied),
        ] {
            check(&policy, &Try { caller, ..Try::new("direct") }, expected);
        }
    }

    #[test]
    fn only_the_named_files_are_signed_and_what_was_not_shown_is_none_of_them() {
        let (named, other) = ([0xab; 32], [0xcd; 32]);
        let wanted = json!({ "artifact_digests": ["AB".repeat(32), "ef".repeat(32)] });
        let policy = with("where", wanted.clone());
        let shown = |artifact| Try { artifact, ..Try::new("direct") };
        let denied = Expected::Denied(Reason::WrongArtifact);
        for (artifact, expected) in [(Some(named), Expected::Member), (Some(other), denied), (None, denied)] {
            check(&policy, &shown(artifact), expected);
        }
        let Decision::Deny(denial) = shown(None).decide(&policy) else { panic!("a denial") };
        assert!(denial.detail.contains("PKCS#11 shows the gate none"), "{}", denial.detail);
        let observed = policy_with(|document| {
            document["signers"]["direct"]["where"] = wanted;
            document["signers"]["direct"]["observe_only"] = json!(true);
        });
        check(&observed, &shown(None), Expected::Observed(Reason::WrongArtifact));
    }

    #[test]
    fn hours_are_written_one_way() {
        assert_eq!(minutes("08:00-18:30"), Some((480, 1110)));
        assert_eq!(minutes("00:00-24:00"), Some((0, 1440)));
        for wrong in ["", "8-18", "08:00", "08:60-10:00", "25:00-26:00", "24:00-10:00", "09:00-09:00", "8:00-10:00"] {
            assert_eq!(minutes(wrong), None, "{wrong}");
        }
    }
}
