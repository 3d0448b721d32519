//! What decides: the engine, or something simpler in its place.

use haul_core::messages::{Command, Effect, Event};
use haul_core::{Engine, Time};

pub(crate) trait Brain {
    fn command(&mut self, now: Time, command: Command);
    fn event(&mut self, now: Time, event: Event);
    fn handle_timeout(&mut self, now: Time);
    fn poll_effect(&mut self) -> Option<Effect>;
    fn poll_timeout(&self) -> Option<Time>;
}

impl Brain for Engine {
    fn command(&mut self, now: Time, command: Command) {
        Self::command(self, now, command).expect("a command about a job that the engine holds");
    }

    fn event(&mut self, now: Time, event: Event) {
        Self::event(self, now, event);
    }

    fn handle_timeout(&mut self, now: Time) {
        Self::handle_timeout(self, now);
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        Self::poll_effect(self)
    }

    fn poll_timeout(&self) -> Option<Time> {
        Self::poll_timeout(self).map(|(at, _)| at)
    }
}
