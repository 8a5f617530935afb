//! What `where` and `when` stand for: programs, hosts, users; days, hours and a time zone.
//! Read next: `../circumstances.rs`.

use super::Misfits;
use crate::policy::{
    circumstances::minutes,
    index, model,
    value::{Name, Object},
};
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// From which place.
pub(super) fn place(signer: &Name, place: model::Place, misfits: &mut Misfits) -> index::Place {
    let lengths = [
        ("applications", place.applications.as_ref().map(Vec::len)),
        ("hosts", place.hosts.as_ref().map(Vec::len)),
        ("os_users", place.os_users.as_ref().map(Vec::len)),
        ("modes", place.modes.as_ref().map(Vec::len)),
        ("identified_by", place.identified_by.as_ref().map(Vec::len)),
        ("artifact_digests", place.artifact_digests.as_ref().map(Vec::len)),
    ];
    empty_lists(signer, "where", &lengths, misfits);
    if lengths.iter().all(|(_, length)| length.is_none()) {
        let hint =
            "give `applications`, `hosts`, `os_users`, `modes`, `identified_by` or `artifact_digests`, or leave \
                    `where` out"
                .to_owned();
        misfits.add(&["signers", signer, "where"], "says nothing about the place", Some(hint));
    }
    let mut program = |position: usize, Object(program): Object<model::CallingProgram>| {
        if program.name.is_none() && program.sha256.is_none() {
            let path = ["signers", signer, "where", "applications", &position.to_string()];
            misfits.add(&path, "a program without `name` and `sha256`", Some("give at least one".to_owned()));
        }
        let sha256 = program.sha256.map(|hash| data_encoding::HEXLOWER.encode(&hash.0));
        index::CallingProgram { name: program.name, sha256 }
    };
    let applications = place
        .applications
        .map(|programs| programs.into_iter().enumerate().map(|(position, one)| program(position, one)).collect());
    index::Place {
        applications,
        hosts: place.hosts.map(Vec::into_boxed_slice),
        os_users: place.os_users.map(Vec::into_boxed_slice),
        modes: place.modes.map(Vec::into_boxed_slice),
        identified_by: place.identified_by.map(Vec::into_boxed_slice),
        artifacts: place.artifact_digests.map(|digests| digests.into_iter().map(|digest| digest.0).collect()),
    }
}

/// At what time.
pub(super) fn hours(signer: &Name, when: model::Hours, misfits: &mut Misfits) -> index::Hours {
    empty_lists(signer, "when", &[("days", when.days.as_ref().map(Vec::len))], misfits);
    let hours = when.hours.and_then(|text| {
        let found = minutes(&text);
        if found.is_none() {
            let message = format!("`{}` are not hours", text.escape_debug());
            let hint = "write `08:00-18:00`; `22:00-06:00` goes over midnight".to_owned();
            misfits.add(&["signers", signer, "when", "hours"], message, Some(hint));
        }
        found
    });
    let name = when.zone.unwrap_or_else(|| "UTC".to_owned());
    let zone = zone(&name).unwrap_or_else(|| {
        let message = format!("there is no time zone `{}`", name.escape_debug());
        let hint = "write one of the time zone database, such as `Europe/Berlin`, or `UTC`".to_owned();
        misfits.add(&["signers", signer, "when", "zone"], message, Some(hint));
        TimeZone::UTC
    });
    if when.days.is_none() && hours.is_none() {
        let hint = "give `days` or `hours`, or leave `when` out".to_owned();
        misfits.add(&["signers", signer, "when"], "says nothing about the time", Some(hint));
    }
    index::Hours { days: when.days.map(Vec::into_boxed_slice), hours, zone, zone_name: name.into() }
}

/// From the database inside this program, so that every host decides alike and no file is read.
fn zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    TimeZoneDatabase::bundled().get(name).ok()
}

fn empty_lists(signer: &Name, member: &str, lists: &[(&str, Option<usize>)], misfits: &mut Misfits) {
    for (list, _) in lists.iter().filter(|(_, length)| *length == Some(0)) {
        let hint = "name at least one, or leave the member out".to_owned();
        misfits.add(&["signers", signer, member, list], "an empty list", Some(hint));
    }
}
