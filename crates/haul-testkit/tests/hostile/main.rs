//! Shows each behaviour of the test kit with a client that speaks over a raw socket.

mod client;
mod control;
mod honest;
mod lies;
mod on_the_way;
mod pace;
