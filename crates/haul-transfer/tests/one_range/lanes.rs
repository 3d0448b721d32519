//! Lanes, stops, limits, and the file that is asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_core::messages::{End, FetchKind};
use haul_core::{Fault, FaultKind};
use haul_testkit::{Do, When};
use haul_transfer::{Lane, Limiter, Report, Target};

use crate::rig::{LEN, PATH, Rig, next};

const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until the lane has got so far.
fn until_at(rig: &Rig, lane: &Lane, at: u64) {
    assert!(rig.server.wait_until(DEADLINE, |_| lane.at() >= at), "stuck at {}", lane.at());
}

#[test]
fn an_open_request_ends_at_the_mark_that_is_set_when_it_opens() {
    let rig = Rig::new(|file| file);
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.target = Target::Ask;
    let lane = Arc::clone(&order.lane);
    let run = rig.run_with(order, received, |opened| {
        assert_eq!(opened.total, Some(LEN));
        assert_eq!(lane.at(), 0, "nothing is written before there is a file");
        assert_eq!(lane.set_end(500), 500);
    });
    run.finished_at(500);
}

#[test]
fn the_end_mark_can_move_forth_within_the_request() {
    let rig = Rig::new(|file| file.fault(When::Always, Do::StallAfter(700)));
    let (order, mut received) = rig.order(FetchKind::Probe, 0, 1000);
    let lane = Arc::clone(&order.lane);
    rig.threads.start(0, order).expect("started");
    until_at(&rig, &lane, 700);
    assert_eq!(lane.set_end(5000), 5000);
    assert_eq!(lane.set_end(900), 900);
    assert_eq!(lane.set_end(10), 700, "not before what is written");
    // Reached, so it ends without waiting for another byte.
    rig.collect(&mut received, |_| ()).finished_at(700);
}

#[test]
fn a_mark_behind_the_request_ends_where_the_request_does() {
    let rig = Rig::new(|file| file.fault(When::Always, Do::Trickle(200_000)));
    let (mut order, received) = rig.order(FetchKind::Range, 0, 20_000);
    order.target = Target::Ask;
    let lane = Arc::clone(&order.lane);
    let run = rig.run_with(order, received, |_| {
        assert_eq!(lane.set_end(50_000), 50_000);
    });
    run.finished_at(20_000);
}

#[test]
fn a_stop_ends_a_worker_that_waits_for_an_answer() {
    let rig = Rig::new(|file| file.fault(When::Always, Do::NeverAnswer));
    let (order, mut received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    let lane = Arc::clone(&order.lane);
    rig.threads.start(0, order).expect("started");
    assert!(rig.server.wait_until(DEADLINE, |server| server.requests(PATH) == 1));
    lane.stop();
    let run = rig.collect(&mut received, |_| ());
    assert_eq!((run.at, run.end), (0, End::Stopped));
}

#[test]
fn a_stop_ends_a_worker_that_waits_for_bytes_and_keeps_what_came() {
    let rig = Rig::new(|file| file.fault(When::Always, Do::StallAfter(700)));
    let (order, mut received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    let lane = Arc::clone(&order.lane);
    rig.threads.start(0, order).expect("started");
    until_at(&rig, &lane, 700);
    lane.stop();
    let run = rig.collect(&mut received, |_| ());
    assert_eq!((run.at, run.end), (700, End::Stopped));
    assert!(lane.first_byte().is_some());
}

#[test]
fn a_stop_before_the_start_takes_no_request() {
    let rig = Rig::new(|file| file);
    let (order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.lane.stop();
    assert_eq!(rig.run(order, received).end, End::Stopped);
    assert_eq!(rig.server.requests(PATH), 0);
}

#[test]
fn a_worker_whose_range_is_taken_away_does_not_wait_for_the_answer() {
    let rig = Rig::new(|file| file.fault(When::Always, Do::NeverAnswer));
    let (order, mut received) = rig.order(FetchKind::Range, 1000, 5000);
    let lane = Arc::clone(&order.lane);
    rig.threads.start(0, order).expect("started");
    assert!(rig.server.wait_until(DEADLINE, |server| server.requests(PATH) == 1));
    assert_eq!(lane.set_end(0), 1000);
    rig.collect(&mut received, |_| ()).finished_at(1000);
}

#[test]
fn a_worker_without_a_listener_stops() {
    for silence in [Do::NeverAnswer, Do::StallAfter(700)] {
        let rig = Rig::new(|file| file.fault(When::Always, silence));
        let (order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
        rig.threads.start(0, order).expect("started");
        assert!(rig.server.wait_until(DEADLINE, |server| server.requests(PATH) == 1));
        drop(received);
        assert!(rig.server.wait_until(DEADLINE, |server| server.connections_open() == 0));
    }
}

#[test]
fn a_file_that_is_refused_ends_the_worker_with_that_fault() {
    let rig = Rig::new(|file| file);
    let (mut order, mut received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.target = Target::Ask;
    rig.threads.start(0, order).expect("started");
    let Report::Opened { reply, .. } = next(&mut received) else {
        panic!("opened first");
    };
    let refusal = Fault::new(FaultKind::DiskFull, "no");
    let reply = reply.expect("asked").send(Err(refusal.clone()));
    reply.expect("waited for");
    let run = rig.collect(&mut received, |_| ());
    assert_eq!((run.at, run.end), (0, End::Fault(refusal)));
}

#[test]
fn a_file_that_never_comes_stops_the_worker() {
    let rig = Rig::new(|file| file);
    let (mut order, mut received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.target = Target::Ask;
    rig.threads.start(0, order).expect("started");
    drop(next(&mut received));
    assert_eq!(rig.collect(&mut received, |_| ()).end, End::Stopped);
}

#[test]
fn a_bandwidth_limit_holds_and_is_noted_in_the_lane() {
    let rig = Rig::new(|file| file);
    let (mut order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    order.limiters = vec![Limiter::new(None), Limiter::new(Some(400_000))];
    let lane = Arc::clone(&order.lane);
    let began = Instant::now();
    rig.run(order, received).finished_at(LEN);
    // 100 kB at 400 kB/s are 250 ms, of which 100 ms may have been saved up.
    assert!(began.elapsed() >= Duration::from_millis(140), "{:?}", began.elapsed());
    assert!(lane.throttled() >= Duration::from_millis(100), "{:?}", lane.throttled());
}

#[test]
fn lifting_a_limit_frees_a_worker_at_once() {
    let rig = Rig::new(|file| file);
    let (mut order, mut received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    let limiter = Limiter::new(Some(1000));
    order.limiters = vec![limiter.clone(), Limiter::new(None)];
    let lane = Arc::clone(&order.lane);
    rig.threads.start(0, order).expect("started");
    until_at(&rig, &lane, 1);
    limiter.set_rate(None);
    rig.collect(&mut received, |_| ()).finished_at(LEN);
}

#[test]
fn stopping_the_threads_ends_every_worker_with_a_report() {
    let rig = Rig::new(|file| file.fault(When::Always, Do::StallAfter(700)));
    let mut workers: Vec<_> = (0..8)
        .map(|n| {
            let (order, received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
            let lane = Arc::clone(&order.lane);
            rig.threads.start(n % 3, order).expect("started");
            (lane, received)
        })
        .collect();
    for (lane, _) in &workers {
        until_at(&rig, lane, 700);
    }
    assert!(rig.threads.stop(DEADLINE));
    for (_, received) in &mut workers {
        let reports: Vec<_> = std::iter::from_fn(|| received.try_recv().ok()).collect();
        let [Report::Opened { .. }, Report::Ended { at: 700, end: End::Stopped, .. }] = &reports[..] else {
            panic!("not opened and stopped: {reports:?}");
        };
    }
}

#[test]
fn after_the_threads_have_stopped_no_order_is_taken() {
    let rig = Rig::new(|file| file);
    rig.probe().finished_at(LEN);
    assert!(rig.threads.stop(DEADLINE));
    let (order, mut received) = rig.order(FetchKind::Probe, 0, Lane::OPEN);
    let fault = rig.threads.start(0, order).expect_err("stopped");
    assert_eq!(fault.kind, FaultKind::Local);
    assert!(received.try_recv().is_err(), "a worker that never was does not end");
}
