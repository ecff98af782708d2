//! What the next run does: the systematic search, and random samples beside it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::choice::{Choice, Freedom, Freedoms};
use super::random::Random;
use super::tape::{Sampling, Tape};

/// Bytes of schedules that wait to be varied; what is beyond is sampled only.
const MOST_BYTES: usize = 8 << 20;

/// The first runs are systematic.
const SYSTEMATIC: usize = 32;

/// Up to this many runs, seven of eight are samples; later every other one, or fewer if samples show little that is new.
const EAGER_SAMPLES: usize = 512;

/// The estimate of what samples have not shown that is little.
const LITTLE: f64 = 0.05;

/// How many different schedules and outcomes are remembered: as many as fit into a table of 2^18 places.
const REMEMBERED: usize = (1 << 18) / 8 * 7;

/// From so many on there is room for all of them, so that a long search takes no more memory than a short one.
const FEW: usize = 1 << 12;

/// Costs of one choice are below this.
const COSTS: u8 = 3;

/// How a run is to choose.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The alternatives that it begins with.
    pub planned: Vec<u8>,
    /// What comes after these.
    pub sampling: Sampling,
    cost: usize,
    systematic: bool,
}

impl Plan {
    /// A run that repeats choices, and from there on is undisturbed.
    #[must_use]
    pub const fn repeat(planned: Vec<u8>) -> Self {
        Self { planned, sampling: Sampling::Undisturbed, cost: 0, systematic: false }
    }

    /// The tape of the run.
    #[must_use]
    pub fn tape(&self, freedoms: Freedoms) -> Tape {
        Tape::new(self.planned.clone(), freedoms, self.sampling.clone())
    }
}

/// A schedule that was run, whose variations are to be run.
#[derive(Debug)]
struct Node {
    /// The alternatives taken where others are the variations of other nodes.
    planned: Box<[u8]>,
    /// The cost of each later choice and how many alternatives it has; the undisturbed one was taken.
    varied: Box<[(u8, u8)]>,
}

impl Node {
    /// How many bytes it takes with variations of so many costs.
    fn size(&self, costs: usize) -> usize {
        // An `Arc` has two counters.
        2 * size_of::<usize>()
            + size_of::<Self>()
            + size_of_val(&*self.planned)
            + size_of_val(&*self.varied)
            + costs * size_of::<Variations>()
    }

    /// The costs of its variations.
    fn costs(&self) -> impl Iterator<Item = u8> + '_ {
        (1..COSTS).filter(|cost| self.varied.iter().any(|(other, _)| other == cost))
    }
}

/// The variations of a node that cost the same.
#[derive(Debug)]
struct Variations {
    node: Arc<Node>,
    cost: u8,
    index: usize,
    taken: u8,
}

impl Iterator for Variations {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        while let Some((cost, alternatives)) = self.node.varied.get(self.index) {
            if *cost == self.cost && self.taken + 1 < *alternatives {
                self.taken += 1;
                let mut planned = Vec::with_capacity(self.node.planned.len() + self.index + 1);
                planned.extend_from_slice(&self.node.planned);
                planned.resize(planned.len() + self.index, 0);
                planned.push(self.taken);
                return Some(planned);
            }
            self.index += 1;
            self.taken = 0;
        }
        None
    }
}

/// Plans the runs of an exploration.
#[derive(Debug)]
pub struct Search {
    seed: u64,
    /// What is to be varied, by the cost of the variations.
    levels: Vec<VecDeque<Variations>>,
    bytes: usize,
    /// Something was left out for lack of space.
    incomplete: bool,
    begun: bool,
    runs: usize,
    systematic: usize,
    samples: usize,
    arrivals_vary: bool,
    expected: HashMap<u64, u32>,
    most_arrivals: u32,
    /// How often each sampled outcome was seen.
    outcomes: HashMap<u64, u32>,
    outcomes_once: usize,
    sampled_outcomes: usize,
    schedules: HashSet<u64>,
    distinct: usize,
}

impl Search {
    /// A search that has not begun.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            levels: Vec::new(),
            bytes: 0,
            incomplete: false,
            begun: false,
            runs: 0,
            systematic: 0,
            samples: 0,
            arrivals_vary: false,
            expected: HashMap::new(),
            most_arrivals: 0,
            outcomes: HashMap::new(),
            outcomes_once: 0,
            sampled_outcomes: 0,
            schedules: HashSet::new(),
            distinct: 0,
        }
    }

    /// The next run; None when all schedules have been planned. The outcome of one plan is reported before the next is
    /// asked for.
    pub fn next_plan(&mut self) -> Option<Plan> {
        if !self.begun {
            self.begun = true;
            return Some(Plan { planned: Vec::new(), sampling: Sampling::Undisturbed, cost: 0, systematic: true });
        }
        if self.is_exhausted() {
            return None;
        }
        let samples = self.systematic >= SYSTEMATIC
            && if self.runs < EAGER_SAMPLES {
                !self.runs.is_multiple_of(8)
            } else {
                self.runs.is_multiple_of(if self.unseen() < LITTLE { 16 } else { 2 })
            };
        if !samples && let Some(plan) = self.next_variation() {
            return Some(plan);
        }
        if self.is_exhausted() { None } else { Some(self.next_sample()) }
    }

    /// Takes the choices of the run that followed `plan`, and a fingerprint of what happened in it.
    pub fn finish(&mut self, plan: &Plan, tape: &Tape, outcome: u64) {
        self.runs += 1;
        let log = tape.log();
        self.arrivals_vary |= log.iter().any(|choice| choice.freedom == Freedom::Arrival);
        for (chain, count) in tape.landed() {
            let known = self.expected.entry(*chain).or_default();
            *known = (*known).max(*count);
        }
        self.most_arrivals = self.most_arrivals.max(tape.landed().values().sum());
        self.note_schedule(log);
        if plan.systematic {
            self.systematic += 1;
            self.expand(plan, log);
        } else {
            self.note_outcome(outcome);
        }
    }

    /// Whether each schedule has been planned.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.begun && !self.incomplete && self.levels.iter().all(VecDeque::is_empty)
    }

    /// How many runs were reported.
    #[must_use]
    pub const fn runs(&self) -> usize {
        self.runs
    }

    /// How many different schedules were run, as far as they are remembered.
    #[must_use]
    pub const fn distinct(&self) -> usize {
        self.distinct
    }

    /// The estimated probability that the next sample has an outcome that no sample had (Good and Turing): 0 when the
    /// space is exhausted, 1 without samples.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn unseen(&self) -> f64 {
        if self.is_exhausted() {
            0.0
        } else if self.sampled_outcomes == 0 {
            1.0
        } else {
            self.outcomes_once as f64 / self.sampled_outcomes as f64
        }
    }

    fn next_variation(&mut self) -> Option<Plan> {
        for (cost, level) in self.levels.iter_mut().enumerate() {
            while let Some(variations) = level.front_mut() {
                if let Some(planned) = variations.next() {
                    return Some(Plan { planned, sampling: Sampling::Undisturbed, cost, systematic: true });
                }
                if let Some(done) = level.pop_front()
                    && let Some(node) = Arc::into_inner(done.node)
                {
                    self.bytes -= node.size(node.costs().count());
                }
            }
            if level.capacity() > FEW {
                *level = VecDeque::new();
            }
        }
        None
    }

    fn expand(&mut self, plan: &Plan, log: &[Choice]) {
        let (planned, varied) = log.split_at_checked(plan.planned.len()).unwrap_or((log, &[]));
        let node = Node {
            planned: planned.iter().map(|choice| choice.taken).collect(),
            varied: varied.iter().map(|choice| (choice.cost, choice.alternatives)).collect(),
        };
        let costs: Vec<u8> = node.costs().collect();
        if costs.is_empty() {
            return;
        }
        let size = node.size(costs.len());
        if self.bytes + size > MOST_BYTES {
            self.incomplete = true;
            return;
        }
        self.bytes += size;
        let node = Arc::new(node);
        for cost in costs {
            let level = plan.cost + usize::from(cost);
            if self.levels.len() <= level {
                self.levels.resize_with(level + 1, VecDeque::new);
            }
            self.levels[level].push_back(Variations { node: Arc::clone(&node), cost, index: 0, taken: 0 });
        }
    }

    fn next_sample(&mut self) -> Plan {
        self.samples += 1;
        let mut random = Random::new(self.seed ^ (self.samples as u64).wrapping_mul(0xd134_2543_de82_ef95));
        let seed = random.next();
        // Most faults need an order of arrivals or a few quiet deviations, seldom both.
        let percent = match self.samples % 10 {
            0 => 25,
            1 => 8,
            _ if self.arrivals_vary => 0,
            2..=4 => 8,
            5..=7 => 25,
            _ => 50,
        };
        let sampling = if self.samples % 10 == 9 {
            let depth = self.samples / 10 % 3;
            let end = u64::from(self.most_arrivals.max(1));
            #[expect(clippy::cast_possible_truncation, reason = "below a u32")]
            let points = (0..depth).map(|_| 1 + random.below(end) as u32).collect();
            Sampling::Priorities { seed, percent, points }
        } else {
            // Faults need few changes from one chain to another, but not always the fewest.
            let stickiness = [0, 30, 50, 60, 70][self.samples % 5];
            Sampling::Uniform { seed, percent, stickiness, expected: self.expected.clone() }
        };
        Plan { planned: Vec::new(), sampling, cost: 0, systematic: false }
    }

    fn note_schedule(&mut self, log: &[Choice]) {
        let last = log.iter().rposition(|choice| choice.taken != 0).map_or(0, |last| last + 1);
        let hash = log[..last].iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, choice| {
            (hash ^ u64::from(choice.taken)).wrapping_mul(0x0100_0000_01b3)
        });
        if self.schedules.len() >= REMEMBERED {
            // Beyond what is remembered each schedule counts as another one: spaces that large hardly repeat any.
            self.distinct += usize::from(!self.schedules.contains(&hash));
        } else if self.schedules.insert(hash) {
            self.distinct += 1;
            if self.schedules.len() == FEW {
                let _ = self.schedules.try_reserve(REMEMBERED - FEW);
            }
        }
    }

    fn note_outcome(&mut self, outcome: u64) {
        self.sampled_outcomes += 1;
        let is_known = self.outcomes.contains_key(&outcome);
        if !is_known && self.outcomes.len() >= REMEMBERED {
            self.outcomes_once += 1;
            return;
        }
        if !is_known && self.outcomes.len() == FEW {
            let _ = self.outcomes.try_reserve(REMEMBERED - FEW);
        }
        let count = self.outcomes.entry(outcome).or_default();
        *count += 1;
        match *count {
            1 => self.outcomes_once += 1,
            2 => self.outcomes_once -= 1,
            _ => {}
        }
    }
}
