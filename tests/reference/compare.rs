//! The real core beside the model: the same events, and after each of them the same of everything that can be seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use holdfast::domain::announce::Holder;
use holdfast::domain::books::{Books, Fold, OpenHold};
use holdfast::domain::claim::{Claim, ClaimKey, ClaimKind, ClaimLine};
use holdfast::domain::event::Envelope;
use holdfast::domain::rules::Rules;
use holdfast::domain::stock::StockRow;
use holdfast::domain::waiting::WaitingList;
use holdfast::domain::words::{Reference, StockKey, Timestamp};

use super::convert::{self, SeenClaims};
use super::inputs::Place;
use super::model::{Row, World};
use super::outputs::{Announcement, Ended, Movement, Outcome};
use super::tally::{self, Tally};

/// Rows as a database keeps them: a fold sees those that its events name and no other.
#[derive(Default)]
pub struct Kept {
    stock: BTreeMap<StockKey, StockRow>,
    claims: BTreeMap<ClaimKey, Claim>,
    /// Who waits, by row and ticket.
    waiting: BTreeMap<(StockKey, i64), Reference>,
    /// (row, instant, change of on_hand) of every movement.
    ledger: Vec<(StockKey, Timestamp, i64)>,
    /// Since when a claim has units of a row set aside, by row and claim.
    held_since: BTreeMap<(StockKey, ClaimKey), Timestamp>,
}

impl Kept {
    /// Folds one batch as one transaction, and says what each event did.
    pub fn deliver(&mut self, rules: &Rules, now: i64, batch: &[Envelope]) -> Vec<Outcome> {
        let mut fold = Fold::new(rules, Timestamp(now), self.load(batch));
        let mut outcomes = Vec::new();
        for envelope in batch {
            let (movements, announcements) = (fold.effects.movements.len(), fold.effects.announcements.len());
            let verdict = fold.apply(envelope).unwrap_or_else(|broken| panic!("{broken}"));
            outcomes.push(Outcome {
                ended: convert::ended(verdict),
                movements: fold.effects.movements[movements..].iter().map(convert::movement).collect(),
                announcements: fold.effects.announcements[announcements..].iter().map(convert::announcement).collect(),
            });
        }
        self.keep(fold);
        outcomes
    }

    fn load(&self, batch: &[Envelope]) -> Books {
        let named =
            batch.iter().flat_map(|told| told.event.claim_key().into_iter().chain(told.event.other_claim_key()));
        let mut claims: HashMap<ClaimKey, Claim> = named
            .filter_map(|key| self.claims.get_key_value(&key))
            .map(|(key, claim)| (key.clone(), claim.clone()))
            .collect();
        let of_claims = claims.values().flat_map(|claim| claim.lines.keys());
        let rows: BTreeSet<&StockKey> =
            batch.iter().flat_map(|told| told.event.stock_keys()).chain(of_claims).collect();
        let stock = rows.into_iter().filter_map(|key| self.stock.get_key_value(key));
        let stock: HashMap<StockKey, StockRow> = stock.map(|(key, row)| (key.clone(), row.clone())).collect();
        // Who waits for a row that is loaded is loaded with it, and no row besides.
        let mut waiting: HashMap<StockKey, WaitingList> = HashMap::new();
        for ((row, ticket), order) in self.waiting.iter().filter(|(place, _)| stock.contains_key(&place.0)) {
            let claim = &self.claims[&ClaimKey { kind: ClaimKind::Order, reference: order.clone() }];
            waiting.entry(row.clone()).or_default().put(*ticket, order.clone(), claim.lines[row].waiting);
            claims.insert(claim.key.clone(), claim.clone());
        }
        let counted = batch.iter().filter_map(|told| told.event.counted());
        let on_hand_at = counted
            .filter_map(|(key, instant)| Some(((key.clone(), instant), self.on_hand_at(key, instant)?)))
            .collect();
        let short = batch.iter().filter_map(|told| told.event.may_leave_short());
        let holders = short.map(|key| (key.clone(), self.holders(key))).collect();
        Books { stock, claims, waiting, on_hand_at, holders, ..Books::default() }
    }

    fn on_hand_at(&self, key: &StockKey, instant: Timestamp) -> Option<i64> {
        let recorded = self.ledger.iter().filter(|entry| entry.0 == *key && entry.1 <= instant);
        recorded.map(|entry| entry.2).reduce(|sum, change| sum + change)
    }

    fn holders(&self, key: &StockKey) -> Vec<OpenHold> {
        let hold = |claim: &Claim| {
            let reserved = claim.lines.get(key).map(|line| line.reserved).filter(|reserved| *reserved > 0)?;
            let held_since = self.held_since.get(&(key.clone(), claim.key.clone())).copied();
            Some(OpenHold { holder: Holder { claim: claim.key.clone(), reserved }, held_since })
        };
        self.claims.values().filter_map(hold).collect()
    }

    /// Only what the effects name is written, as in a database.
    fn keep(&mut self, fold: Fold<'_>) {
        let Fold { now, books, effects, .. } = fold;
        self.ledger.extend(effects.movements.iter().map(|it| (it.key.clone(), now, it.change.on_hand)));
        self.waiting.retain(|(row, _), _| !books.waiting.contains_key(row));
        for (row, list) in &books.waiting {
            self.waiting.extend(list.places().map(|(ticket, order)| ((row.clone(), ticket), order.clone())));
        }
        for key in effects.created.iter().chain(&effects.settings).chain(&effects.counted) {
            self.stock.insert(key.clone(), books.stock[key].clone());
        }
        for key in &effects.claims {
            let Some(claim) = books.claims.get(key) else { continue };
            for (row, line) in &claim.lines {
                let place = (row.clone(), key.clone());
                if effects.let_go.get(key).is_some_and(|rows| rows.contains(row)) {
                    self.held_since.remove(&place);
                }
                if line.reserved > 0 {
                    self.held_since.entry(place).or_insert(now);
                } else {
                    self.held_since.remove(&place);
                }
            }
            let mut written = claim.clone();
            written.lines.retain(|_, line| *line != ClaimLine::default());
            written.revision += 1;
            self.claims.insert(key.clone(), written);
        }
    }

    fn seen(&self) -> (BTreeMap<Place, Row>, SeenClaims) {
        let rows = self.stock.iter().map(|(key, row)| (convert::place(key), convert::row(row)));
        let named = |key: &ClaimKey| (key.kind.as_str(), key.reference.to_string());
        let claims = self.claims.iter().map(|(key, claim)| (named(key), convert::claim(claim)));
        (rows.collect(), claims.collect())
    }
}

/// The model and two cores: one that gets its events one by one, one that gets them in batches.
pub struct Race {
    rules: Rules,
    /// The model.
    pub world: World,
    single: Kept,
    batched: Kept,
}

impl Race {
    /// All three empty.
    pub fn new(rules: Rules) -> Self {
        let world = World::new(convert::settings(&rules));
        Self { rules, world, single: Kept::default(), batched: Kept::default() }
    }

    /// Gives a batch to all three and says what the model did with each event.
    ///
    /// # Errors
    /// The first difference, with the event.
    pub fn run(&mut self, now: i64, batch: &[Envelope], tally: &mut Tally) -> Result<Vec<Outcome>, String> {
        let mut expected = Vec::new();
        for envelope in batch {
            let told = convert::told(envelope);
            if let Some(meeting) = tally::meeting(&self.world, &told) {
                *tally.entry(meeting).or_default() += 1;
            }
            let outcome = self.world.apply(&told, now);
            tally::count(tally, &told, &outcome);
            let single = self.single.deliver(&self.rules, now, std::slice::from_ref(envelope));
            same(&outcome, &single[0]).map_err(|what| format!("one by one, {what}\nof {:?}", envelope.event))?;
            self.same_state(&self.single).map_err(|what| format!("one by one, {what}\nafter {:?}", envelope.event))?;
            expected.push(outcome);
        }
        let batched = self.batched.deliver(&self.rules, now, batch);
        for ((expected, found), envelope) in expected.iter().zip(&batched).zip(batch) {
            same(expected, found).map_err(|what| format!("in a batch, {what}\nof {:?}", envelope.event))?;
        }
        self.same_state(&self.batched).map_err(|what| format!("after a batch, {what}\n{batch:#?}"))?;
        Ok(expected)
    }

    fn same_state(&self, kept: &Kept) -> Result<(), String> {
        let (rows, claims) = kept.seen();
        equal("stock rows", &self.world.rows, &rows)?;
        equal("claims", &convert::claims(&self.world), &claims)
    }
}

fn same(model: &Outcome, core: &Outcome) -> Result<(), String> {
    equal::<Vec<Movement>>("movements", &model.movements, &core.movements)?;
    equal::<Vec<Announcement>>("announcements", &model.announcements, &core.announcements)?;
    equal::<Ended>("verdicts", &model.ended, &core.ended)
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, model: &T, core: &T) -> Result<(), String> {
    if model == core { Ok(()) } else { Err(format!("{what} differ\nmodel: {model:#?}\n core: {core:#?}")) }
}
