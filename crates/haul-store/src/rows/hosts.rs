//! Hosts: what was learned of them and what their users want.

use rusqlite::{Connection, Row, named_params};

use crate::{HostFault, HostRow};

/// All hosts, by name.
pub(crate) fn all(conn: &Connection) -> rusqlite::Result<Vec<HostRow>> {
    conn.prepare_cached(SELECT)?.query_map([], read)?.collect()
}

/// Stores a host in place of what was known of it.
pub(crate) fn save(conn: &Connection, host: &HostRow) -> rusqlite::Result<()> {
    let fault = host.fault.as_ref();
    conn.prepare_cached(SAVE)?
        .execute(named_params! {
            ":name": host.name,
            ":learned_cap": host.learned_cap.map(|(cap, _)| cap),
            ":holds_until": host.learned_cap.map(|(_, until_ms)| until_ms),
            ":refusals": host.refusals,
            ":useful_connections": host.useful_connections,
            ":bytes_per_second": host.bytes_per_second,
            ":answer_time": host.answer_time_ms,
            ":blocked_until": host.blocked_until_ms,
            ":fault_code": fault.map(|fault| &fault.code),
            ":fault_status": fault.and_then(|fault| fault.status),
            ":fault_message": fault.map(|fault| &fault.message),
            ":fault_at": fault.map(|fault| fault.at_ms),
            ":connections_max": host.connections_max,
            ":bandwidth_limit": host.bandwidth_limit,
            ":updated_at": host.updated_at_ms,
        })
        .map(drop)
}

/// Forgets a host; one that is not there is as good.
pub(crate) fn delete(conn: &Connection, name: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM hosts WHERE name = ?1")?.execute([name]).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<HostRow> {
    let cap: Option<u32> = row.get("learned_cap")?;
    let code: Option<String> = row.get("fault_code")?;
    Ok(HostRow {
        name: row.get("name")?,
        learned_cap: cap.map(|cap| Ok::<_, rusqlite::Error>((cap, row.get("holds_until_ms")?))).transpose()?,
        refusals: row.get("refusals")?,
        useful_connections: row.get("useful_connections")?,
        bytes_per_second: row.get("bytes_per_second")?,
        answer_time_ms: row.get("answer_time_ms")?,
        blocked_until_ms: row.get("blocked_until_ms")?,
        fault: code.map(|code| read_fault(row, code)).transpose()?,
        connections_max: row.get("connections_max")?,
        bandwidth_limit: row.get("bandwidth_limit")?,
        updated_at_ms: row.get("updated_at_ms")?,
    })
}

fn read_fault(row: &Row<'_>, code: String) -> rusqlite::Result<HostFault> {
    Ok(HostFault {
        code,
        status: row.get("fault_status")?,
        message: row.get("fault_message")?,
        at_ms: row.get("fault_at_ms")?,
    })
}

const SELECT: &str = "SELECT * FROM hosts ORDER BY name";

const SAVE: &str = "
    INSERT OR REPLACE INTO hosts (
        name, learned_cap, holds_until_ms, refusals, useful_connections, bytes_per_second, answer_time_ms,
        blocked_until_ms, fault_code, fault_status, fault_message, fault_at_ms, connections_max, bandwidth_limit,
        updated_at_ms
    ) VALUES (
        :name, :learned_cap, :holds_until, :refusals, :useful_connections, :bytes_per_second, :answer_time,
        :blocked_until, :fault_code, :fault_status, :fault_message, :fault_at, :connections_max, :bandwidth_limit,
        :updated_at
    )";
