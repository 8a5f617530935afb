//! A test for each tool of the table and each place. Read next: `cases.rs`.

use crate::{
    cases::{fails_by_itself, signs_and_is_refused},
    place::{Place, wanted},
    table::{TOOLS, Tool},
    tool::required,
    versions,
};

/// Runs the case of a tool, or says why not.
fn run(test: &str, tool: &Tool, place: &dyn Place, prepared: bool) {
    let here = place.distribution();
    let holds = |script| place.run(place.room(), script).code == Some(0);
    let mut whole = tool.cannot.iter().filter(|one| one.key.is_none());
    let cannot = whole.find(|one| one.distribution.is_none_or(|name| name == here) && holds(one.holds));
    let present = holds(tool.present);
    if let Some(cannot) = cannot {
        match cannot.error {
            Some(error) if present => fails_by_itself(tool, place, error),
            _ => println!("skipped: {test} ({} can not: {})", tool.name, cannot.why),
        }
    } else if present {
        signs_and_is_refused(tool, place);
    } else {
        assert!(!prepared, "{} is not in the image of {here}", tool.name);
        assert!(!required(tool.need), "{} is missing, and SIGNGATE_REQUIRE names it", tool.need);
        println!("skipped: {test} ({} is not installed)", tool.need);
        return;
    }
    if prepared && present {
        let version = place.run(place.room(), tool.version);
        let version = version.stdout.trim();
        assert!(!version.is_empty() && !version.contains('\n'), "the version of {}: {version:?}", tool.name);
        versions::ran(here, tool.name, version);
    }
}

#[test]
fn the_places_that_are_asked_for_are_in_this_build() {
    let built = cfg!(signgate_container);
    assert!(
        built || !wanted("container"),
        "SIGNGATE_E2E asks for containers, and this build has none: CONTRIBUTING.md"
    );
}

#[test]
fn every_tool_has_a_name_of_its_own_and_a_row_or_a_reason() {
    for (at, tool) in TOOLS.iter().enumerate() {
        assert!(TOOLS.iter().skip(at + 1).all(|other| other.name != tool.name), "{} stands twice", tool.name);
        let reason = tool.cannot.iter().any(|one| one.key.is_none());
        assert!(reason || !(tool.rows.is_empty() || tool.sign.is_empty() || tool.verify.is_empty()), "{}", tool.name);
        assert!(tool.rows.is_empty() || !tool.spoil.is_empty(), "nothing shows that {} can fail", tool.verifier);
    }
}

/// A module of tests, one for each tool, at the place that the expression gives for a test.
macro_rules! tests {
    ($($test:ident => $tool:ident,)*) => {
        mod native {
            use crate::{place::Native, table};

            $(
                #[test]
                fn $test() {
                    let Some(place) = Native::new(stringify!($test)) else { return };
                    super::run(stringify!($test), &table::$tool, &place, false);
                }
            )*
        }

        #[cfg(signgate_container)]
        mod bookworm {
            use crate::{container::Debian, table};

            $(
                #[test]
                fn $test() {
                    let Some(place) = Debian::of("bookworm", stringify!($test)) else { return };
                    super::run(stringify!($test), &table::$tool, place, true);
                }
            )*
        }

        #[cfg(signgate_container)]
        mod trixie {
            use crate::{container::Debian, table};

            $(
                #[test]
                fn $test() {
                    let Some(place) = Debian::of("trixie", stringify!($test)) else { return };
                    super::run(stringify!($test), &table::$tool, place, true);
                }
            )*
        }

        /// The table's tools that have a test.
        const TESTED: &[&Tool] = &[$(&crate::table::$tool),*];
    };
}

tests! {
    jarsigner_signs_and_is_refused => JARSIGNER,
    keytool_signs_and_is_refused => KEYTOOL,
    apksigner_signs_and_is_refused => APKSIGNER,
    osslsigncode_signs_programs_and_is_refused => OSSLSIGNCODE_PE,
    osslsigncode_signs_installers_and_is_refused => OSSLSIGNCODE_MSI,
    osslsigncode_signs_cabinets_and_is_refused => OSSLSIGNCODE_CAB,
    osslsigncode_signs_scripts_and_is_refused => OSSLSIGNCODE_PS1,
    sbsign_signs_and_is_refused => SBSIGN,
    pesign_signs_and_is_refused => PESIGN,
    sign_file_signs_and_is_refused => SIGN_FILE,
    openssl_dgst_with_the_engine_signs_and_is_refused => ENGINE_DGST,
    openssl_cms_with_the_engine_signs_and_is_refused => ENGINE_CMS,
    openssl_dgst_with_the_provider_signs_and_is_refused => PROVIDER_DGST,
    openssl_cms_with_the_provider_signs_and_is_refused => PROVIDER_CMS,
    pkcs11_tool_signs_and_is_refused => PKCS11_TOOL,
    p11tool_signs_and_is_refused => P11TOOL,
    certtool_signs_and_is_refused => CERTTOOL,
    gpg_signs_and_is_refused => GPG,
    gpgsm_signs_and_is_refused => GPGSM,
    rpmsign_signs_and_is_refused => RPMSIGN,
    ssh_keygen_signs_and_is_refused => SSH_KEYGEN,
    git_signs_and_is_refused => GIT,
    python_pkcs11_signs_and_is_refused => PYTHON_PKCS11,
    pykcs11_signs_and_is_refused => PYKCS11,
    cosign_signs_or_says_why_not => COSIGN,
    signtool_signs_or_says_why_not => SIGNTOOL,
}

#[test]
fn every_tool_of_the_table_has_a_test() {
    for tool in TOOLS {
        assert!(TESTED.iter().any(|tested| tested.name == tool.name), "no test of {}", tool.name);
    }
}
