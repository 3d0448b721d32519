//! Server-sent events out of bytes (HTML, section 9.2.6), as far as the daemon uses them.

/// One message. A message may hold nothing but an id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: Option<u64>,
    pub(super) event: String,
    pub(super) data: String,
}

/// What has come and is no whole message yet.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    message: Message,
}

impl Parser {
    /// The messages that these bytes complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).into_owned();
            self.line.clear();
            match line.trim_end_matches('\r') {
                "" => messages.extend(Some(std::mem::take(&mut self.message)).filter(|m| *m != Message::default())),
                line => self.message.take(line),
            }
        }
        messages
    }
}

impl Message {
    fn take(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = value.parse().ok(),
            "event" => value.clone_into(&mut self.event),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // A comment, or what we do not know.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let text = "id: 7\n\n: still there\n\nid: 8\nevent: paused\ndata: {\"a\":\ndata: 1}\n\nevent:progress\r\ndata:ä\r\n\r\nid: 9\n";
        let message = |id, event: &str, data: &str| Message { id, event: event.to_owned(), data: data.to_owned() };
        let all = [message(Some(7), "", ""), message(Some(8), "paused", "{\"a\":\n1}"), message(None, "progress", "ä")];
        for len in 1..text.len() {
            let mut parser = Parser::default();
            let found: Vec<_> = text.as_bytes().chunks(len).flat_map(|bytes| parser.feed(bytes)).collect();
            assert_eq!(found, all, "in pieces of {len}");
        }
    }
}
