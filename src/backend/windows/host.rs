//! This host: its name, its folders and its clocks. Read next: `image.rs`.
#![expect(unsafe_code, reason = "only Windows says when it was started, and what time it is since then")]

use super::{Windows, wide};
use crate::platform::windows::Host;
use std::{ffi::OsString, os::windows::ffi::OsStringExt, path::PathBuf, ptr};
use windows_sys::{
    Wdk::System::SystemInformation::{NtQuerySystemInformation, SystemTimeOfDayInformation},
    Win32::{
        System::{
            Com::CoTaskMemFree,
            Performance::{QueryPerformanceCounter, QueryPerformanceFrequency},
            SystemInformation::{ComputerNameDnsHostname, GetComputerNameExW},
        },
        UI::Shell::{FOLDERID_ProgramData, SHGetKnownFolderPath},
    },
};

impl Host for Windows {
    fn host_name(&self) -> Option<String> {
        let mut name = [0_u16; 256];
        let mut length = 256;
        // SAFETY: a buffer with its length.
        let told = unsafe { GetComputerNameExW(ComputerNameDnsHostname, name.as_mut_ptr(), &raw mut length) };
        wide::text(&name).filter(|name| told != 0 && !name.is_empty())
    }

    fn program_data(&self) -> Option<PathBuf> {
        let mut path = ptr::null_mut();
        // SAFETY: a known id, no token, and a place for one pointer.
        let told = unsafe { SHGetKnownFolderPath(&FOLDERID_ProgramData, 0, ptr::null_mut(), &raw mut path) };
        if path.is_null() {
            return None;
        }
        let mut text = Vec::new();
        // SAFETY: the text ends with a NUL, and nothing behind that is read.
        while let unit @ 1.. = unsafe { path.add(text.len()).read() } {
            text.push(unit);
        }
        // SAFETY: allocated by Windows for us in this way, and freed once.
        unsafe { CoTaskMemFree(path.cast()) };
        (told == 0).then(|| PathBuf::from(OsString::from_wide(&text)))
    }

    fn start(&self) -> Option<u64> {
        // SYSTEM_TIMEOFDAY_INFORMATION: the first of its numbers is the time of the start.
        let mut times = [0_u64; 6];
        let room = u32::try_from(size_of_val(&times)).ok()?;
        // SAFETY: a buffer of `room` bytes, as long as this class's structure.
        let status = unsafe {
            NtQuerySystemInformation(SystemTimeOfDayInformation, times.as_mut_ptr().cast(), room, ptr::null_mut())
        };
        let [start, ..] = times;
        (status >= 0).then_some(start)
    }

    fn performance_counter(&self) -> Option<(u64, u64)> {
        let (mut count, mut per_second) = (0, 0);
        // SAFETY: places for one number each.
        let told = unsafe {
            QueryPerformanceCounter(&raw mut count) != 0 && QueryPerformanceFrequency(&raw mut per_second) != 0
        };
        told.then_some((u64::try_from(count).ok()?, u64::try_from(per_second).ok()?))
    }
}
