//! How a link is shared: max-min fair. Nobody gets more than it can take, and what some cannot take goes to the others.

/// Sets each of `caps`, the rates that the flows could take, to what a link of this capacity gives it.
pub(crate) fn share(link: f64, caps: &mut [f64], scratch: &mut Vec<f64>) {
    if caps.iter().sum::<f64>() <= link {
        return;
    }
    scratch.clear();
    scratch.extend_from_slice(caps);
    scratch.sort_unstable_by(f64::total_cmp);
    let mut left = link;
    let mut level = link;
    for (index, cap) in scratch.iter().enumerate() {
        level = left / (scratch.len() - index) as f64;
        if *cap > level {
            break;
        }
        left -= cap;
    }
    for cap in caps {
        *cap = cap.min(level);
    }
}

#[test]
fn what_some_cannot_take_goes_to_the_others() {
    let mut caps = [1.0, 10.0, 2.0, 10.0];
    share(9.0, &mut caps, &mut Vec::new());
    assert_eq!(caps, [1.0, 3.0, 2.0, 3.0]);
    share(100.0, &mut caps, &mut Vec::new());
    assert_eq!(caps, [1.0, 3.0, 2.0, 3.0]);
}
