//! Whether p11-kit hands the HSM's own module to programs: a way round the gate that Debian's softhsm2 package opens.
//!
//! Reads p11-kit's files as p11-kit does (pkcs11.conf(5)): a file of the system completes and overrides the package's
//! file of the same name. Reads only; never loads a module.

use signgate_pkcs11::config::trusted_file::{Owners, read_trusted};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Where p11-kit looks.
pub struct Places<'p> {
    /// `/etc/pkcs11/modules`, which wins.
    pub system: &'p Path,
    /// `/usr/share/p11-kit/modules`.
    pub package: &'p Path,
}

impl Places<'static> {
    /// Those of p11-kit as distributions build it.
    pub fn usual() -> Places<'static> {
        Places { system: Path::new("/etc/pkcs11/modules"), package: Path::new("/usr/share/p11-kit/modules") }
    }
}

/// A registration of the HSM's own module.
#[derive(PartialEq, Eq, Debug)]
pub struct WayRound {
    /// The file that names the module.
    pub file: PathBuf,
    /// The command that ends it.
    pub fix: String,
}

/// No file of p11-kit is larger.
const LARGEST_FILE: u64 = 64 * 1024;

/// The registrations that let any program load `module` through p11-kit.
pub fn ways_round(module: &Path, places: &Places<'_>) -> Vec<WayRound> {
    let mut merged: BTreeMap<String, Registration> = BTreeMap::new();
    for (name, read) in [places.system, places.package].into_iter().flat_map(read_folder) {
        let registration =
            merged.entry(name).or_insert_with(|| Registration { file: read.file, settings: BTreeMap::new() });
        for (key, value) in read.settings {
            registration.settings.entry(key).or_insert(value);
        }
    }
    let open = merged.into_iter().filter(|(_, registration)| registration.opens(module));
    let way_round = |(name, registration): (String, Registration)| {
        let folder = places.system.display();
        let fix = format!("mkdir -p {folder} && echo 'enable-in: none' >> {folder}/{name}");
        WayRound { file: registration.file, fix }
    };
    open.map(way_round).collect()
}

/// What one file says, or several of the same name.
struct Registration {
    file: PathBuf,
    settings: BTreeMap<String, String>,
}

impl Registration {
    /// A list of programs keeps every other program out, even if it is empty.
    fn opens(&self, module: &Path) -> bool {
        let is_named = self.settings.get("module").is_some_and(|registered| is_same_module(registered, module));
        is_named && !self.settings.contains_key("enable-in")
    }
}

/// The files of a folder of p11-kit, by name. What can not be read, p11-kit can not read either.
fn read_folder(folder: &Path) -> Vec<(String, Registration)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let read = |file: PathBuf| {
        let name = file.file_name()?.to_str()?.to_owned();
        let (bytes, _) = read_trusted(&file, LARGEST_FILE, Owners::Anyone).ok()?;
        let settings = parse(&String::from_utf8_lossy(&bytes));
        name.ends_with(".module").then_some((name, Registration { file, settings }))
    };
    entries.filter_map(|entry| read(entry.ok()?.path())).collect()
}

/// `key: value` lines; `#` begins a comment line.
fn parse(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once(':'));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

/// A relative name is taken from p11-kit's own folder, which differs between systems: there the file name counts.
fn is_same_module(registered: &str, module: &Path) -> bool {
    let registered = Path::new(registered);
    if registered.is_absolute() {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        real(registered) == real(module)
    } else {
        registered.file_name().is_some() && registered.file_name() == module.file_name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    struct Machine {
        keep: TempDir,
    }

    impl Machine {
        fn new() -> Machine {
            let keep = tempfile::tempdir().unwrap();
            for folder in ["etc", "usr", "lib"] {
                fs::create_dir(keep.path().join(folder)).unwrap();
            }
            fs::write(keep.path().join("lib/hsm.so"), "").unwrap();
            Machine { keep }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.keep.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
        }

        fn found(&self) -> Vec<WayRound> {
            let (system, package) = (self.path("etc"), self.path("usr"));
            ways_round(&self.path("lib/hsm.so"), &Places { system: &system, package: &package })
        }
    }

    #[test]
    fn a_package_that_registers_the_module_is_found_and_the_fix_closes_it() {
        let machine = Machine::new();
        machine.write("usr/hsm.module", &format!("# the HSM\nmodule: {}\n", machine.path("lib/hsm.so").display()));
        let found = machine.found();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].file, machine.path("usr/hsm.module"));
        let done = std::process::Command::new("sh").args(["-c", &found[0].fix]).status().unwrap();
        assert!(done.success());
        assert_eq!(machine.found(), []);
    }

    #[test]
    fn the_module_is_known_by_another_path_to_the_same_file_and_by_its_bare_name() {
        let machine = Machine::new();
        symlink(machine.path("lib/hsm.so"), machine.path("lib/link.so")).unwrap();
        machine.write("etc/a.module", &format!("module:{}", machine.path("lib/link.so").display()));
        machine.write("usr/b.module", "module: hsm.so");
        assert_eq!(machine.found().len(), 2);
    }

    #[test]
    fn other_modules_and_other_files_are_no_way_round() {
        let machine = Machine::new();
        machine.write("usr/a.module", "module: other.so\n");
        machine.write("usr/b.module", "#module: hsm.so\n");
        machine.write("usr/c.txt", "module: hsm.so\n");
        machine.write("usr/d.module", "module: hsm.so\nenable-in: signgate\n");
        assert_eq!(machine.found(), []);
    }

    #[test]
    fn the_systems_file_wins_over_the_packages() {
        let machine = Machine::new();
        machine.write("usr/a.module", "module: hsm.so\n");
        machine.write("etc/a.module", "module: other.so\n");
        assert_eq!(machine.found(), []);
    }
}
