//! The order in which pictures are shown, by their order counts: what presentation times must agree with, and what they
//! are repaired from when they do not (quirk Q31).

use crate::h264::{NalKind, NalUnit, OrderCycle, OrderFields, OrderKind, SliceOrder};
use crate::saved::saved;
use std::collections::VecDeque;

/// Pictures that are compared with the newest one; H.264 reorders over at most 16.
const COMPARED: usize = 32;

/// A picture that is shown more places away from where it is decoded is beyond what H.264 allows.
const MAX_DISTANCE: i64 = 16;

/// So many pictures whose times agree tell when the others are shown.
const TRUSTED: usize = 3;

/// Times rounded to milliseconds may differ by this much without meaning anything.
const ROUNDING_MS: i64 = 1;

/// Where a picture stands in the order of display of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OrderCount {
    value: i64,
    /// It is an IDR picture, with which counting begins anew.
    begins_group: bool,
}

/// Follows the order counts of one track. RTMP's times are trusted until a pair of pictures proves them impossible:
/// then, and as long as each group brings such a proof, a picture is shown when the picture with the place of its count
/// is decoded.
#[derive(Clone, Debug, Default)]
pub(super) struct DisplayOrder {
    /// High and low part of the newest reference picture's count (H.264 8.2.1.1).
    reference: (i64, i64),
    /// Offset and number of the newest frame, for counts of type 1 (H.264 8.2.1.2).
    frame: (i64, i64),
    /// Newest pictures of the group, in decoding order.
    group: VecDeque<Shown>,
    /// Pictures of the group so far.
    decoded: i64,
    /// Count of the picture that began the group; `None` while counts cannot be used.
    base: Option<i64>,
    /// Counts rise by 1 from picture to picture, not by 2 as for most encoders.
    has_odd_counts: bool,
    is_contradicted: bool,
    is_repairing: bool,
    /// Milliseconds per count, as a fraction, where those pictures that are shown later than they are decoded agree on
    /// it: muxers that push decoding times around spoil only the times of the others.
    pace: Option<(i64, i64)>,
}

#[derive(Clone, Copy, Debug)]
struct Shown {
    count: i64,
    ms: i64,
    pts_ms: i64,
}

saved!(struct DisplayOrder {
    reference,
    frame,
    group,
    decoded,
    base,
    has_odd_counts,
    is_contradicted,
    is_repairing,
    pace
});
saved!(struct Shown { count, ms, pts_ms });

impl DisplayOrder {
    /// The count of a picture by its first slice. Each picture is to be asked for once, in decoding order.
    pub(super) fn count(&mut self, slice: &NalUnit, fields: &OrderFields) -> Option<OrderCount> {
        let order = slice.slice_order(fields)?;
        let begins_group = slice.kind() == NalKind::IdrSlice;
        let value = match &fields.kind {
            OrderKind::LowPart { bits } => self.count_of_low_part(slice, order.count, *bits),
            OrderKind::Cycle(cycle) => self.count_of_frame_number(slice, order, cycle, fields.frame_number_bits),
        };
        Some(OrderCount { value, begins_group })
    }

    /// Counts of type 0 (H.264 8.2.1.1).
    fn count_of_low_part(&mut self, slice: &NalUnit, low: i64, bits: u32) -> i64 {
        let begins_group = slice.kind() == NalKind::IdrSlice;
        let period = 1_i64 << bits;
        let (reference_high, reference_low) = if begins_group { (0, 0) } else { self.reference };
        let high = if reference_low - low >= period / 2 {
            reference_high.saturating_add(period)
        } else if low - reference_low > period / 2 {
            reference_high.saturating_sub(period)
        } else {
            reference_high
        };
        if slice.is_reference() {
            self.reference = (high, low);
        }
        high.saturating_add(low)
    }

    /// Counts of type 1 (H.264 8.2.1.2).
    fn count_of_frame_number(&mut self, slice: &NalUnit, order: SliceOrder, cycle: &OrderCycle, bits: u32) -> i64 {
        let number = i64::from(order.frame_number);
        let (last_offset, last_number) = if slice.kind() == NalKind::IdrSlice { (0, 0) } else { self.frame };
        let offset = if last_number > number { last_offset.saturating_add(1 << bits) } else { last_offset };
        self.frame = (offset, number);
        let is_non_reference = !slice.is_reference();
        let mut count = order.count;
        if let Ok(length @ 1..) = i64::try_from(cycle.steps.len()) {
            // Frames since the group began, of which those that others refer to make the steps.
            let steps = offset.saturating_add(number) - i64::from(is_non_reference);
            if steps > 0 {
                let sum = |steps: &[i64]| steps.iter().fold(0_i64, |sum, step| sum.saturating_add(*step));
                let rest = usize::try_from(steps % length).unwrap_or(0);
                count = count
                    .saturating_add(sum(&cycle.steps).saturating_mul(steps / length))
                    .saturating_add(sum(cycle.steps.get(..rest).unwrap_or_default()));
            }
        }
        if is_non_reference { count.saturating_add(cycle.of_non_reference) } else { count }
    }

    /// Takes note of a picture that is decoded at `ms` and shown `composition_ms` later, and says how much later it is
    /// shown by its count when its times, or those of its neighbours, are impossible.
    pub(super) fn repair(&mut self, order: OrderCount, ms: i64, composition_ms: i64) -> Option<i64> {
        if order.begins_group {
            self.is_repairing = std::mem::take(&mut self.is_contradicted);
            self.group.clear();
            self.decoded = 0;
            self.base = Some(order.value);
        }
        let base = self.base?;
        let shown = Shown { count: order.value, ms, pts_ms: ms.saturating_add(composition_ms) };
        if self.group.iter().any(|other| contradict(*other, shown)) {
            self.is_contradicted = true;
            self.is_repairing = true;
        }
        self.group.push_back(shown);
        if self.group.len() > COMPARED {
            self.group.pop_front();
        }
        let place = self.decoded;
        self.decoded += 1;
        let passed = order.value.saturating_sub(base);
        self.has_odd_counts |= passed % 2 != 0;
        if !self.is_repairing {
            return None;
        }
        if let Some(by_others) = self.time_by_others(shown) {
            let repaired = by_others.saturating_sub(ms);
            return ((repaired - composition_ms).abs() > ROUNDING_MS).then_some(repaired);
        }
        let distance = (if self.has_odd_counts { passed } else { passed / 2 }).saturating_sub(place);
        if distance.abs() > MAX_DISTANCE {
            // Pictures were left out, or counting went on beyond its rules: no more conclusions in this group.
            self.base = None;
            return None;
        }
        let repaired = self.time_at(distance)?.saturating_sub(ms);
        ((repaired - composition_ms).abs() > ROUNDING_MS).then_some(repaired)
    }

    /// When a picture is shown by those of its group whose times can be trusted, because they are shown later than they
    /// are decoded; `None` where these do not agree, or are too few to tell.
    fn time_by_others(&mut self, shown: Shown) -> Option<i64> {
        let trusted = || self.group.iter().filter(|other| other.pts_ms > other.ms);
        let (first, last) = (trusted().next().copied(), trusted().next_back().copied());
        let mut pace = self.pace;
        if let (Some(first), Some(_)) = (first, last)
            && let Some(far) = trusted().max_by_key(|other| (other.count - first.count).abs())
            && far.count != first.count
            && trusted().count() >= TRUSTED
        {
            pace = Some((far.pts_ms - first.pts_ms, far.count - first.count));
        }
        let (ms, counts) = pace?;
        let near = last?;
        let place = |count: i64| near.pts_ms.saturating_add((count - near.count).saturating_mul(ms) / counts.max(1));
        let agree = counts > 0 && trusted().all(|other| (place(other.count) - other.pts_ms).abs() <= 2 * ROUNDING_MS);
        self.pace = pace.filter(|_| agree);
        self.pace?;
        Some(if shown.pts_ms > shown.ms { shown.pts_ms } else { place(shown.count) })
    }

    /// Forgets the group, because a picture of it had no count.
    pub(super) fn lose(&mut self) {
        self.base = None;
    }

    /// When the picture is decoded that stands `distance` places behind the newest one, or will be.
    fn time_at(&self, distance: i64) -> Option<i64> {
        let newest = self.group.back()?;
        let back = usize::try_from(-distance);
        if let Ok(back) = back {
            return self.group.iter().nth_back(back).map(|shown| shown.ms);
        }
        let steps = i64::try_from(self.group.len()).unwrap_or(1) - 1;
        let oldest = self.group.front()?;
        (steps > 0).then(|| newest.ms + (newest.ms - oldest.ms) * distance / steps)
    }
}

/// Whether two pictures are shown in one order by their counts and in the other by their times.
fn contradict(one: Shown, other: Shown) -> bool {
    let (earlier, later) = if one.count <= other.count { (one, other) } else { (other, one) };
    earlier.count < later.count && earlier.pts_ms > later.pts_ms.saturating_add(ROUNDING_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `(count, composition)` at 40 ms a picture and returns the composition in force.
    fn check(name: &str, pictures: &[(i64, i64)], expected: &[i64]) {
        let mut order = DisplayOrder::default();
        let found: Vec<i64> = (0..)
            .zip(pictures)
            .map(|(at, &(value, composition))| {
                let count = OrderCount { value, begins_group: value == 0 };
                order.repair(count, 1_000 + at * 40, composition).unwrap_or(composition)
            })
            .collect();
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn q31_possible_times_are_left_alone() {
        let right = [(0, 80), (6, 160), (2, 0), (4, 0), (12, 160), (8, 0), (10, 0), (0, 80), (2, 80)];
        check("B-frames", &right, &right.map(|(_, composition)| composition));
        check("negative", &[(0, 0), (6, 80), (2, -40), (4, -40)], &[0, 80, -40, -40]);
        check("no reordering", &[(0, 0), (2, 0), (4, 0), (6, 0)], &[0; 4]);
        check("shown late and unevenly", &[(0, 500), (4, 900), (2, 470), (6, 1_000)], &[500, 900, 470, 1_000]);
    }

    #[test]
    fn q31_zero_composition_is_repaired_from_the_first_proof_on() {
        check(
            "two groups",
            &[(0, 0), (6, 0), (2, 0), (4, 0), (12, 0), (8, 0), (10, 0), (0, 0), (6, 0), (2, 0), (4, 0)],
            // The P-frame in front of the first proof is gone already.
            &[0, 0, -40, -40, 80, -40, -40, 0, 80, -40, -40],
        );
        check("counts by one", &[(0, 0), (3, 0), (1, 0), (2, 0), (6, 0)], &[0, 0, -40, -40, 80]);
    }

    #[test]
    fn q31_a_group_without_a_proof_is_trusted_again() {
        let mut pictures = vec![(0, 0), (4, 0), (2, 0), (0, 40), (4, 80), (2, 0)];
        // The second group is still repaired, because the first was wrong; what it says agrees with itself.
        pictures.extend([(0, 40), (4, 80), (2, 0)]);
        check("the third group", &pictures, &[0, 0, -40, 0, 40, -40, 40, 80, 0]);
    }

    #[test]
    fn q31_times_that_agree_tell_the_others() {
        // As GStreamer sends them: I0 P8 B4 b2 b6 P16 .., where only P and B are shown later than they are decoded. The
        // second group begins with what the first has reported.
        check(
            "pushed decoding times",
            &[(0, 5), (8, 125), (4, 5), (2, 0), (6, 0), (0, 45), (8, 165), (4, 45), (2, 0), (6, 0)],
            &[5, 125, 5, -75, -35, 45, 165, 45, -35, 5],
        );
    }

    #[test]
    fn q31_counts_beyond_their_rules_repair_nothing() {
        check("left out", &[(0, 0), (4, 0), (2, 0), (90, 0), (92, 0), (94, 0)], &[0, 0, -40, 0, 0, 0]);
        let mut order = DisplayOrder::default();
        assert_eq!(order.repair(OrderCount { value: 8, begins_group: false }, 0, 0), None, "before the first IDR");
    }
}
