//! The daemon on disks that fail: in this process, because nothing but a test can give it such a disk.
//!
//! | module | what it proves |
//! | --- | --- |
//! | `faults` | whichever call to the system fails, every job ends as the right bytes or as a reason |
//! | `panics` | a panic ends what it happens in, and the jobs go on |
//! | `power` | a power cut at any moment costs no byte that a row claims, and no accepted job |
//! | `progress` | what is written and what is durable are told apart, and neither goes back |
//! | `sealing` | a complete file gets its name and takes it from nobody |
//! | `space` | a full disk is waited for, and costs nothing |
//! | `slow` | a disk that hangs holds up nobody but its own jobs |
//! | `rig` | the daemon, its server, and ways to watch it |

mod faults;
mod panics;
mod power;
mod progress;
mod rig;
mod sealing;
mod slow;
mod space;
