//! Attempts to get past the gate, row by row of "What must not work" in the design. Every case has the same form, which
//! types enforce: a control that shows the attack succeeding on the bare HSM, the attack through the gate, and what must
//! be seen of it: return codes, the calls that reached the HSM, what came out, what is on record.
//! `docs/bypass.md` lists them. Read next: `case.rs`, then `run.rs`, then the rows in their order.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared by several test programs, of which each uses a part")]
mod support;

#[path = "../trust/approver.rs"]
mod approver;
mod attack;
mod case;
mod remote;
mod run;
mod scenes;
mod table;

mod row_01;
mod row_01_functions;
mod row_02;
mod row_03;
mod row_04;
mod row_05;
mod row_06;
mod row_07;
mod row_08;
mod row_09;
mod row_10;
mod row_11;
mod row_12;
mod row_13;
mod row_14;
mod row_15;
mod row_16;

use scenes::*;
