//! The choices of one run: first those that were planned, then those of a rule.

use std::collections::HashMap;

use super::choice::{Choice, Freedom, Freedoms};
use super::random::Random;

/// The most alternatives of one choice; further ones are not offered.
const MOST: usize = 250;

/// How a run chooses where nothing is planned.
#[derive(Clone, Debug)]
pub enum Sampling {
    /// Always the undisturbed alternative.
    Undisturbed,
    /// Which arrival lands next is drawn so that, if the numbers of arrivals that the chains still have are as
    /// `expected`, each interleaving of the chains has the same probability, but that the chain of the last arrival goes
    /// on in `stickiness` of 100 cases; all else deviates in `percent` of cases.
    Uniform {
        /// The random generator's seed.
        seed: u64,
        /// How often other choices deviate.
        percent: u8,
        /// How often the chain of the last arrival goes on.
        stickiness: u8,
        /// How many arrivals each chain has in a whole run.
        expected: HashMap<u64, u32>,
    },
    /// Chains of arrivals have random priorities, and `points` says before which arrivals the first chain becomes the
    /// last (PCT); all else deviates in `percent` of cases.
    Priorities {
        /// The random generator's seed.
        seed: u64,
        /// How often other choices deviate.
        percent: u8,
        /// The numbers of the arrivals, from one.
        points: Vec<u32>,
    },
}

/// The choices of one run.
#[derive(Clone, Debug)]
pub struct Tape {
    planned: Vec<u8>,
    log: Vec<Choice>,
    freedoms: Freedoms,
    sampling: Sampling,
    random: Random,
    /// How many arrivals of each chain have landed.
    landed: HashMap<u64, u32>,
    priorities: HashMap<u64, i64>,
    arrivals: u32,
    /// The chain of the last arrival.
    last: Option<u64>,
}

impl Default for Tape {
    fn default() -> Self {
        Self::new(Vec::new(), Freedoms::NONE, Sampling::Undisturbed)
    }
}

impl Tape {
    /// A tape that begins with the alternatives `planned`.
    #[must_use]
    pub fn new(planned: Vec<u8>, freedoms: Freedoms, sampling: Sampling) -> Self {
        let seed = match &sampling {
            Sampling::Undisturbed => 0,
            Sampling::Uniform { seed, .. } | Sampling::Priorities { seed, .. } => *seed,
        };
        Self {
            planned,
            log: Vec::new(),
            freedoms,
            sampling,
            random: Random::new(seed),
            landed: HashMap::new(),
            priorities: HashMap::new(),
            arrivals: 0,
            last: None,
        }
    }

    /// The choices made so far.
    #[must_use]
    pub fn log(&self) -> &[Choice] {
        &self.log
    }

    /// How many arrivals of each chain have landed so far.
    #[must_use]
    pub const fn landed(&self) -> &HashMap<u64, u32> {
        &self.landed
    }

    /// Whether the run may use `freedom`.
    #[must_use]
    pub const fn allows(&self, freedom: Freedom) -> bool {
        self.freedoms.contain(freedom)
    }

    /// Chooses one of `alternatives`, 0 being the undisturbed one. Nothing is noted if there is no choice.
    pub fn choose(&mut self, freedom: Freedom, cost: u8, alternatives: usize) -> usize {
        if alternatives < 2 || !self.allows(freedom) {
            return 0;
        }
        let alternatives = alternatives.min(MOST);
        let taken = self.planned_at(alternatives).unwrap_or_else(|| self.sample(alternatives));
        self.note(freedom, cost, alternatives, taken)
    }

    /// Chooses which of the pending arrivals lands next, given the chain of each, the oldest first; the last of the
    /// alternatives, if `or_later`, is that none does before the next timer.
    pub fn choose_arrival(&mut self, chains: &[u64], or_later: bool) -> usize {
        let alternatives = (chains.len() + usize::from(or_later)).min(MOST);
        if alternatives < 2 || !self.allows(Freedom::Arrival) {
            return 0;
        }
        let taken = self.planned_at(alternatives).unwrap_or_else(|| self.sample_arrival(chains, or_later));
        self.note(Freedom::Arrival, 1, alternatives, taken)
    }

    /// Notes that an arrival of `chain` has landed.
    pub fn note_landed(&mut self, chain: u64) {
        *self.landed.entry(chain).or_default() += 1;
        self.last = Some(chain);
    }

    fn planned_at(&self, alternatives: usize) -> Option<usize> {
        self.planned.get(self.log.len()).map(|taken| usize::from(*taken).min(alternatives - 1))
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most MOST")]
    fn note(&mut self, freedom: Freedom, cost: u8, alternatives: usize, taken: usize) -> usize {
        let taken = taken.min(alternatives - 1);
        self.log.push(Choice { freedom, taken: taken as u8, alternatives: alternatives as u8, cost });
        taken
    }

    #[expect(clippy::cast_possible_truncation, reason = "below the number of alternatives")]
    fn sample(&mut self, alternatives: usize) -> usize {
        let percent = match self.sampling {
            Sampling::Undisturbed => 0,
            Sampling::Uniform { percent, .. } | Sampling::Priorities { percent, .. } => percent,
        };
        if self.random.chance(percent) { 1 + self.random.below(alternatives as u64 - 1) as usize } else { 0 }
    }

    fn sample_arrival(&mut self, chains: &[u64], or_later: bool) -> usize {
        let count = chains.len().min(MOST);
        if or_later && self.sample(2) == 1 {
            return count;
        }
        self.arrivals += 1;
        match &self.sampling {
            Sampling::Undisturbed => 0,
            Sampling::Uniform { expected, stickiness, .. } => {
                let again = self.last.and_then(|last| chains[..count].iter().position(|chain| *chain == last));
                if let Some(again) = again
                    && self.random.chance(*stickiness)
                {
                    return again;
                }
                let remaining = |chain: &u64| {
                    let known = expected.get(chain).copied().unwrap_or(1);
                    u64::from(known.saturating_sub(self.landed.get(chain).copied().unwrap_or(0)).max(1))
                };
                // A chain with several pending arrivals has its remaining ones counted once.
                let weights: Vec<u64> = chains[..count]
                    .iter()
                    .enumerate()
                    .map(|(index, chain)| if chains[..index].contains(chain) { 1 } else { remaining(chain) })
                    .collect();
                let mut drawn = self.random.below(weights.iter().sum());
                for (index, weight) in weights.iter().enumerate() {
                    if drawn < *weight {
                        return index;
                    }
                    drawn -= weight;
                }
                0
            }
            Sampling::Priorities { points, .. } => {
                let changes = points.contains(&self.arrivals);
                for chain in &chains[..count] {
                    let drawn = self.random.next() >> 2;
                    self.priorities.entry(*chain).or_insert_with(|| drawn.cast_signed());
                }
                let first = |priorities: &HashMap<u64, i64>| {
                    let best = (0..count).max_by_key(|index| (priorities[&chains[*index]], std::cmp::Reverse(*index)));
                    best.unwrap_or(0)
                };
                if changes {
                    let demoted = chains[first(&self.priorities)];
                    self.priorities.insert(demoted, -i64::from(self.arrivals));
                }
                first(&self.priorities)
            }
        }
    }
}
