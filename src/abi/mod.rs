//! The C interface: three exported symbols, two more for signtool on Windows, one table of functions, one boundary, one file for raw memory.
//! It translates and never decides. `unsafe` is allowed here and in `backend`, nowhere else.
//! Read next: `table.rs`.

#![expect(unsafe_code, reason = "the C interface of PKCS#11")]
#![expect(non_snake_case, reason = "the names of the specification")]

pub mod table;

mod entry;
mod interface;
mod life;
mod object;
mod peer;
mod pointer;
mod refused;
mod session;
mod sign;
#[cfg(windows)]
mod signtool;
mod slot;

/// For the fuzz targets, which call the functions as C does.
#[doc(hidden)]
pub use life::begin_with;
