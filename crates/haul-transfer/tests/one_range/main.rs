//! One range against a hostile server: one test per lie of FAILURES.md.
//!
//! Each run ends with the same oracle: the bytes that the worker says it has written are the content's, and no
//! other byte of the file has been touched.

mod rig;

mod body;
mod compare;
mod failures;
mod hints;
mod identity;
mod lanes;
mod network;
mod ranges;
mod redirects;
mod seams;
mod tls;
