//! What the loader sees: three symbols, complete tables in memory that nobody can write, and interfaces by name and
//! version. Source: PKCS#11 3.1, sections 5.4.4 to 5.4.6.

use crate::{
    answers, call, call3, here,
    support::{
        child::{Child, gate},
        folder::demo,
        module::built_module,
        names,
    },
};
use cryptoki_sys::*;
use signgate_pkcs11::abi::table::TABLE;
use std::{collections::BTreeSet, ffi::c_void, fs, ptr};

#[test]
fn three_functions_are_exported_and_nothing_else() {
    let exported = exported_symbols(&fs::read(built_module()).expect("the module"));
    assert_eq!(exported, ["C_GetFunctionList", "C_GetInterface", "C_GetInterfaceList"]);
}

#[test]
fn the_function_list_is_complete_and_of_version_2_40() {
    gate(here!(), demo, |child| {
        let list = child.module.list();
        assert_eq!((list.version.major, list.version.minor), (2, 40));
        let entries = names::of_2_40(list);
        assert_eq!(entries.len(), 68);
        none_is_null(&entries);
    });
}

#[test]
fn a_function_list_without_a_place_to_put_it_is_a_bad_argument() {
    gate(here!(), demo, |child| {
        answers!(call!(child.module, C_GetFunctionList(ptr::null_mut())), CKR_ARGUMENTS_BAD);
    });
}

#[test]
fn every_interface_has_its_version_and_all_its_functions() {
    gate(here!(), demo, |child| {
        for (major, minor, count) in [(2, 40, 68), (3, 0, 92), (3, 2, 104)] {
            let interface = child.module.interface(Some((major, minor))).expect("an interface");
            let version = interface.pFunctionList.cast::<CK_VERSION>();
            // SAFETY: every function list begins with its version.
            assert_eq!(unsafe { ((*version).major, (*version).minor) }, (major, minor));
            assert_eq!(interface.flags, 0, "nothing is promised about forks");
            // SAFETY: of the version it says it is.
            let entries = unsafe {
                match minor {
                    40 => names::of_2_40(&*interface.pFunctionList.cast()),
                    0 => names::of_3_0(&*interface.pFunctionList.cast()),
                    _ => names::of_3_2(&*interface.pFunctionList.cast()),
                }
            };
            assert_eq!(entries.len(), count);
            none_is_null(&entries);
        }
    });
}

#[test]
fn the_table_in_the_source_names_the_functions_of_the_specification() {
    gate(here!(), demo, |child| {
        let listed: BTreeSet<&str> = names::of_3_2(child.module.list_3_2()).into_iter().map(|(name, _)| name).collect();
        let reviewed: BTreeSet<&str> = TABLE.iter().map(|row| row.name).collect();
        assert_eq!(reviewed, listed);
        assert_eq!(TABLE.len(), listed.len(), "a row stands twice");
    });
}

#[test]
fn without_a_name_or_a_version_the_default_interface_comes() {
    gate(here!(), demo, |child| {
        for name in [ptr::null_mut(), c"PKCS 11".as_ptr().cast_mut().cast()] {
            let interface = child.module.interface_by(name, None, 0).expect("an interface");
            let version = interface.pFunctionList.cast::<CK_VERSION>();
            // SAFETY: every function list begins with its version.
            assert_eq!(unsafe { (*version).major }, 3);
        }
    });
}

#[test]
fn foreign_interfaces_versions_and_flags_are_refused() {
    gate(here!(), demo, |child| {
        let own = c"PKCS 11".as_ptr().cast_mut().cast();
        for name in [c"Vendor NSS FIPS Interface", c"pkcs 11", c"PKCS 1", c"PKCS 11 ", c""] {
            let asked = child.module.interface_by(name.as_ptr().cast_mut().cast(), None, 0);
            answers!(asked, CKR_FUNCTION_FAILED, "{name:?}");
        }
        for (major, minor) in [(2, 20), (3, 1), (3, 3), (2, 4), (0, 0), (255, 255)] {
            let mut version = CK_VERSION { major, minor };
            answers!(child.module.interface_by(own, Some(&mut version), 0), CKR_FUNCTION_FAILED, "{major}.{minor}");
        }
        for flags in [CKF_INTERFACE_FORK_SAFE, 2, CK_FLAGS::MAX] {
            answers!(child.module.interface_by(own, None, flags), CKR_FUNCTION_FAILED, "flags {flags:#x}");
        }
        answers!(call3!(child.module, C_GetInterface(own, ptr::null_mut(), ptr::null_mut(), 0)), CKR_ARGUMENTS_BAD);
    });
}

#[test]
fn the_list_of_interfaces_follows_the_two_call_convention() {
    gate(here!(), demo, |child| {
        let (module, mut count) = (&child.module, CK_ULONG::MAX);
        answers!(call3!(module, C_GetInterfaceList(ptr::null_mut(), &mut count)), CKR_OK);
        assert_eq!(count, 3);
        let blank = CK_INTERFACE { pInterfaceName: ptr::null_mut(), pFunctionList: ptr::null_mut(), flags: 77 };
        let mut list = [blank; 4];
        count = 2;
        answers!(call3!(module, C_GetInterfaceList(list.as_mut_ptr(), &mut count)), CKR_BUFFER_TOO_SMALL);
        assert_eq!(count, 3);
        assert!(list.iter().all(|one| one.flags == 77), "nothing is written where not all fits");
        count = 4;
        answers!(call3!(module, C_GetInterfaceList(list.as_mut_ptr(), &mut count)), CKR_OK);
        assert_eq!((count, list[3].flags), (3, 77));
        for one in &list[..3] {
            // SAFETY: a C string of the module's.
            assert_eq!(unsafe { std::ffi::CStr::from_ptr(one.pInterfaceName.cast()) }, c"PKCS 11");
        }
        answers!(call3!(module, C_GetInterfaceList(list.as_mut_ptr(), ptr::null_mut())), CKR_ARGUMENTS_BAD);
    });
}

#[test]
fn tables_and_interfaces_lie_in_memory_that_nobody_can_write() {
    gate(here!(), demo, |child| {
        let mut places: Vec<(String, *const c_void)> =
            vec![("the 2.40 list".to_owned(), ptr::from_ref(child.module.list()).cast())];
        for version in [(2, 40), (3, 0), (3, 2)] {
            let interface = child.module.interface(Some(version)).expect("an interface");
            places.push((format!("the list {version:?}"), interface.pFunctionList));
            places.push((format!("the name {version:?}"), interface.pInterfaceName.cast()));
        }
        places.push(("the interfaces".to_owned(), default_interface(child)));
        for (what, place) in places {
            assert_eq!(permissions_of(place), "r--", "{what}");
        }
        // The check can fail: this process's own memory can be written.
        let on_the_heap = Box::new(0u8);
        assert_eq!(permissions_of(ptr::from_ref(&*on_the_heap).cast()), "rw-");
    });
}

fn default_interface(child: &Child) -> *const c_void {
    let mut chosen: *mut CK_INTERFACE = ptr::null_mut();
    answers!(call3!(child.module, C_GetInterface(ptr::null_mut(), ptr::null_mut(), &mut chosen, 0)), CKR_OK);
    chosen.cast()
}

fn none_is_null(entries: &[names::Entry]) {
    let missing: Vec<&str> = entries.iter().filter(|(_, pointer)| pointer.is_null()).map(|(name, _)| *name).collect();
    assert_eq!(missing, Vec::<&str>::new(), "NULL entries");
}

/// How the kernel says this address may be used.
fn permissions_of(place: *const c_void) -> String {
    let maps = fs::read_to_string("/proc/self/maps").expect("the memory map");
    let found = maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let bound = |text| usize::from_str_radix(text, 16).ok();
        (bound(start)?..bound(end)?).contains(&place.addr()).then(|| rest[..3].to_owned())
    });
    found.expect("a mapped address")
}

/// The dynamic symbols that a 64-bit little-endian ELF file defines, sorted.
fn exported_symbols(file: &[u8]) -> Vec<String> {
    let number = |at: usize, bytes: usize| {
        file[at..at + bytes].iter().rev().fold(0usize, |number, &byte| (number << 8) | usize::from(byte))
    };
    assert_eq!(&file[..6], b"\x7fELF\x02\x01", "a 64-bit little-endian ELF file");
    let (sections, size, count) = (number(0x28, 8), number(0x3a, 2), number(0x3c, 2));
    let section = |index: usize| sections + index * size;
    const DYNSYM: usize = 11;
    let symbols = (0..count).map(section).find(|&at| number(at + 4, 4) == DYNSYM).expect("dynamic symbols");
    let strings = number(section(number(symbols + 0x28, 4)) + 0x18, 8);
    let (start, length) = (number(symbols + 0x18, 8), number(symbols + 0x20, 8));
    let mut names: Vec<String> = (start..start + length)
        .step_by(24)
        .filter(|&at| number(at + 6, 2) != 0 && file[at + 4] >> 4 != 0)
        .map(|at| {
            let name = &file[strings + number(at, 4)..];
            let end = name.iter().position(|&byte| byte == 0).expect("an end");
            String::from_utf8_lossy(&name[..end]).into_owned()
        })
        .collect();
    names.sort();
    names
}
