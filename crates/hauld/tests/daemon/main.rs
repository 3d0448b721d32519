//! The daemon as its users meet it: the real program in a process of its own, against a server that misbehaves.
//!
//! | module | what it proves |
//! | --- | --- |
//! | `transfers` | files of every shape arrive byte for byte, under the right name |
//! | `crash` | kills, checkpoints and lost part files cost next to nothing and never a byte |
//! | `origin` | the two hangs of the first version are gone: slow chunks harm nobody |
//! | `disk` | file systems that are full, gone or not to be written to are waited for, or refused |
//! | `faults` | what a server or a network does wrong is survived, or ends in a reason |
//! | `hints` | what servers say about a file's digest is verified, and mirrors that they name are used |
//! | `digests` | what came is what stands in the file, or it is noticed and mended |
//! | `metalink` | a Metalink is submitted like a batch of the files that it describes |
//! | `clock` | a wall clock that jumps changes nothing |
//! | `crash_loop` | kills at random moments over jobs of all kinds, and then the oracle |
//! | `power_cut` | a real file system that loses its power holds what rows claim |
//! | `database` | it alone holds the state; whoever takes it away ends the daemon; a job that ends it is left alone |
//! | `events` | what has happened to a job can be read afterwards, and is told to streams, webhooks and hooks |
//! | `soak` | what a daemon uses does not grow with what it has done |
//! | `control` | pause, resume, retry, cancel, delete, limits and lists do what they say |
//! | `content` | a file is read while it comes |
//! | `operator` | metrics, the log, readiness, and what the daemon finds of itself |
//! | `requests` | repeated submits, versions, ordered and filtered lists, actions on many jobs |
//! | `contract` | the OpenAPI document and the daemon say the same |
//! | `schemathesis` | thousands of requests made from the document find no answer that it does not tell |
//! | `scale` | what 100,000 jobs cost |
//! | `hosts` | what was learned of a server is kept, shown, changed and forgotten |
//! | `why` | what holds a job back is told, with its numbers |
//! | `page` | the web page does what it shows, and nothing else, in a real Chromium |
//! | `browser` | a web page of another origin, in a real Chromium, gets nothing done |
//! | `aria2` | clients that were made for aria2 do the same here, and nobody more than otherwise |
//! | `extension` | the browser extension, in a real Chromium, hands downloads over, and loses none |
//! | `attacks` | bad input gets the right refusal, and no secret leaves |
//! | `options` | what a job is told of its way, its time, its place and its like holds |
//! | `tokens` | tokens of other programs may do what their scope says, and reach public addresses only |
//! | `instance` | one daemon per database, clear exits, closed files |
//! | `load` | a benchmark: what the API gives while some clients behave badly |
//! | `many` | 500 jobs, 200 at once |
//! | `mirrors` | of several servers those that have the file contribute, and the others do no harm |
//! | `identity` | a file is of one version from its first byte to its last, and a renewed link has to prove that it has it |
//! | `network` | without a network jobs wait, and go on when it is back |
//! | `nginx` | the same with a real nginx |
//! | `support` | the daemon in a process, and ways to watch it |

mod aria2;
mod attacks;
mod browser;
mod clock;
mod content;
mod contract;
mod control;
mod crash;
mod crash_loop;
mod database;
mod digests;
mod disk;
mod events;
mod extension;
mod faults;
mod hints;
mod hosts;
mod identity;
mod instance;
mod load;
mod many;
mod metalink;
mod mirrors;
mod network;
mod nginx;
mod operator;
mod options;
mod origin;
mod page;
mod power_cut;
mod requests;
mod scale;
mod schemathesis;
mod soak;
mod support;
mod tokens;
mod transfers;
mod why;
