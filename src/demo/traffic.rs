//! What the demo's customers and its warehouse do. The same seed brings the same customers; when a delivery comes is up
//! to the stock.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde_json::{Value, json};

use super::catalogue::{Catalogue, Invoice, Order};

/// Customers who are in the shop at once.
const CUSTOMERS: usize = 12;
/// How many orders the first stock would serve.
const ORDERS_IN_STOCK: usize = 120;
/// No SKU begins with fewer units.
const LEAST_STOCK: i64 = 24;
/// A delivery comes so many events after stock fell low.
const DELIVERY_AFTER: u64 = 60;
/// The first flash sale begins after so many events of customers.
const SALE_AFTER: u64 = 400;
/// From the beginning of one flash sale to the next, in events.
const SALE_EVERY: u64 = 1_000;
/// How many events a flash sale lasts.
const SALE_LASTS: u64 = 300;
/// Of a hundred events during a sale, those that are about what is on sale.
const SALE_PERCENT: u32 = 75;
/// Of a hundred customers, those who leave their cart behind.
const LEAVING_PERCENT: u32 = 8;
/// Of a hundred customers who order, those who regret it; beside those who do in the file.
const REGRETTING_PERCENT: u32 = 5;
/// How long a cart holds units, in seconds: short, so that one that was left behind is seen to expire.
const CART_TTL_S: u32 = 20;
/// Why orders are cancelled.
const REASON: &str = "the customer changed their mind";
/// The publisher of all of it.
const SOURCE: &str = "/demo";

/// The shop's events, one after the other, without end.
#[derive(Debug)]
pub(super) struct Traffic {
    catalogue: Catalogue,
    chance: fastrand::Rng,
    /// Events of customers so far, which number their ids.
    made: u64,
    /// Deliveries so far.
    delivered: u64,
    /// Which invoice the next customer brings, and how often all of them were brought.
    next_invoice: usize,
    round: u64,
    customers: Vec<VecDeque<Value>>,
    deliveries: VecDeque<Delivery>,
    sale: Option<Sale>,
    sales: u64,
    sale_orders: u64,
    lots: HashMap<String, i64>,
}

#[derive(Debug)]
struct Delivery {
    due: u64,
    sku: String,
}

/// Everybody wants one SKU.
#[derive(Debug)]
struct Sale {
    sku: String,
    ends: u64,
}

impl Traffic {
    /// A shop that is about to open.
    pub fn new(catalogue: Catalogue, seed: u64) -> Self {
        let lot = |sku: &String| catalogue.units_in_first(ORDERS_IN_STOCK, sku).max(LEAST_STOCK);
        let lots = catalogue.skus.iter().map(|sku| (sku.clone(), lot(sku))).collect();
        Self {
            catalogue,
            chance: fastrand::Rng::with_seed(seed),
            made: 0,
            delivered: 0,
            next_invoice: 0,
            round: 0,
            customers: Vec::new(),
            deliveries: VecDeque::new(),
            sale: None,
            sales: 0,
            sale_orders: 0,
            lots,
        }
    }

    /// Registers every SKU with its first stock and its thresholds.
    pub fn opening(&mut self) -> Vec<Value> {
        let skus = self.catalogue.skus.clone();
        let register = |(rank, sku): (usize, &String)| {
            let lot = self.lots[sku];
            let body = json!({"sku": sku, "name": format!("No. {} of the shop", rank + 1), "initial": lot,
                "warning_threshold": lot / 4, "critical_threshold": lot / 10});
            self.event("sku-registered", body)
        };
        skus.iter().enumerate().map(register).collect()
    }

    /// The next event.
    pub fn next(&mut self) -> Value {
        if self.deliveries.front().is_some_and(|delivery| delivery.due <= self.made)
            && let Some(delivery) = self.deliveries.pop_front()
        {
            return self.deliver(&delivery.sku);
        }
        if let Some(order) = self.sell_off() {
            return order;
        }
        loop {
            while self.customers.len() < CUSTOMERS {
                let customer = self.welcome();
                self.customers.push(customer);
            }
            let index = self.chance.usize(..self.customers.len());
            if let Some(mut event) = self.customers[index].pop_front() {
                self.name(&mut event);
                return event;
            }
            self.customers.swap_remove(index);
        }
    }

    /// Orders a delivery of a SKU whose stock fell low, unless one is on its way.
    pub fn restock(&mut self, sku: &str) {
        let known = self.lots.contains_key(sku);
        if known && !self.deliveries.iter().any(|delivery| delivery.sku == sku) {
            self.deliveries.push_back(Delivery { due: self.made + DELIVERY_AFTER, sku: sku.to_owned() });
        }
    }

    /// What is on sale now.
    pub fn on_sale(&self) -> Option<&str> {
        self.sale.as_ref().map(|sale| sale.sku.as_str())
    }

    /// Flash sales begun, and orders of what was on sale.
    pub fn sales(&self) -> (u64, u64) {
        (self.sales, self.sale_orders)
    }

    fn deliver(&mut self, sku: &str) -> Value {
        let lot = self.lots.get(sku).copied().unwrap_or(LEAST_STOCK);
        self.delivered += 1;
        let receipt = format!("R-{}", self.delivered);
        let body = json!({"receipt_id": receipt, "lines": [{"sku": sku, "quantity": lot}]});
        let mut event = unnamed("stock-received", body);
        event["id"] = format!("delivery-{}", self.delivered).into();
        event
    }

    /// Begins and ends flash sales; an order of what is on sale, now and then.
    fn sell_off(&mut self) -> Option<Value> {
        if self.sale.as_ref().is_some_and(|sale| sale.ends <= self.made) {
            self.sale = None;
        }
        if self.sale.is_none() && self.made >= SALE_AFTER + self.sales * SALE_EVERY {
            self.sales += 1;
            let sku = self.catalogue.skus[self.chance.usize(..self.catalogue.skus.len().min(12))].clone();
            self.sale = Some(Sale { sku, ends: self.made + SALE_LASTS });
        }
        if self.sale.is_none() || self.chance.u32(..100) >= SALE_PERCENT {
            return None;
        }
        let quantity = self.chance.i64(1..=3);
        let lines = json!([{"sku": self.sale.as_ref()?.sku, "quantity": quantity}]);
        self.sale_orders += 1;
        let order = format!("SALE-{}", self.sale_orders);
        Some(self.event("order-created", json!({"order_id": order, "lines": lines})))
    }

    /// What the next customer is going to do, event by event; their ids come when they do it.
    fn welcome(&mut self) -> VecDeque<Value> {
        let invoice = self.catalogue.invoices[self.next_invoice].clone();
        let round = self.round;
        self.next_invoice += 1;
        if self.next_invoice == self.catalogue.invoices.len() {
            (self.next_invoice, self.round) = (0, round + 1);
        }
        let reference = |number: &str| if round == 0 { number.to_owned() } else { format!("{number}-{round}") };
        match invoice {
            Invoice::Bought(order) => self.visit(&reference(&order.number), &order),
            Invoice::CalledOff { order, parts } => {
                let mut body = json!({"order_id": reference(&order), "reason": REASON});
                if let Some(parts) = parts {
                    body["lines"] = lines(&parts);
                }
                [unnamed("order-cancelled", body)].into()
            }
        }
    }

    /// A basket that grows line by line and becomes an order, or is left behind.
    fn visit(&mut self, number: &str, order: &Order) -> VecDeque<Value> {
        let cart = format!("C-{number}");
        let mut events = VecDeque::new();
        let mut basket = BTreeMap::new();
        for (version, (sku, units)) in (1..).zip(&order.lines) {
            basket.insert(sku.clone(), *units);
            let body = json!({"cart_id": cart, "cart_version": version, "lines": lines(&basket), "ttl_s": CART_TTL_S});
            events.push_back(unnamed("cart-updated", body));
        }
        if self.chance.u32(..100) >= LEAVING_PERCENT {
            let body = json!({"order_id": number, "cart_id": cart, "lines": lines(&order.lines)});
            events.push_back(unnamed("order-created", body));
            if self.chance.u32(..100) < REGRETTING_PERCENT {
                let body = json!({"order_id": number, "reason": REASON});
                events.push_back(unnamed("order-cancelled", body));
            }
        }
        events
    }

    fn event(&mut self, event_type: &str, body: Value) -> Value {
        let mut event = unnamed(event_type, body);
        self.name(&mut event);
        event
    }

    fn name(&mut self, event: &mut Value) {
        self.made += 1;
        event["id"] = format!("demo-{}", self.made).into();
    }
}

fn unnamed(event_type: &str, body: Value) -> Value {
    json!({"specversion": "1.0", "type": event_type, "source": SOURCE, "data": body})
}

fn lines(units: &BTreeMap<String, i64>) -> Value {
    units.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn traffic(seed: u64) -> Traffic {
        Traffic::new(Catalogue::load().unwrap(), seed)
    }

    #[test]
    fn one_seed_is_one_history_and_every_event_has_its_own_id() {
        let (mut first, mut again, mut other) = (traffic(1), traffic(1), traffic(2));
        assert_eq!(first.opening(), again.opening());
        let history: Vec<Value> = (0..2_000).map(|_| first.next()).collect();
        assert_eq!(history, (0..2_000).map(|_| again.next()).collect::<Vec<_>>());
        other.opening();
        assert_ne!(history, (0..2_000).map(|_| other.next()).collect::<Vec<_>>());
        let ids: HashSet<&str> = history.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), history.len());
    }

    #[test]
    fn a_shop_sees_baskets_that_grow_orders_cancellations_and_sales() {
        let mut traffic = traffic(3);
        traffic.opening();
        let mut on_sale: u64 = 0;
        let mut types: HashMap<String, usize> = HashMap::new();
        for _ in 0..5_000 {
            let event = traffic.next();
            *types.entry(event["type"].as_str().unwrap().to_owned()).or_default() += 1;
            on_sale += u64::from(traffic.on_sale().is_some());
        }
        assert!(types["cart-updated"] > types["order-created"], "{types:?}");
        assert!(types["order-created"] > 500 && types["order-cancelled"] > 5, "{types:?}");
        assert_eq!(on_sale, 5 * SALE_LASTS);
        assert!(traffic.sales().1 > on_sale * 6 / 10, "{:?}", traffic.sales());
    }

    #[test]
    fn deliveries_come_between_customers_and_change_nothing_of_what_they_do() {
        let (mut without, mut with) = (traffic(5), traffic(5));
        let of_customers = |event: &Value| event["type"] != "stock-received";
        let expected: Vec<Value> = (0..1_000).map(|_| without.next()).collect();
        let skus = with.catalogue.skus.clone();
        let seen = (0..1_100).map(|number| {
            with.restock(&skus[number % skus.len()]);
            with.next()
        });
        let seen: Vec<Value> = seen.filter(of_customers).collect();
        assert!(seen.len() > 500, "{}", seen.len());
        assert_eq!(seen[..500], expected[..500]);
    }

    #[test]
    fn a_delivery_that_is_on_its_way_is_not_ordered_again() {
        let mut traffic = traffic(4);
        let sku = traffic.catalogue.skus[0].clone();
        traffic.restock(&sku);
        traffic.restock(&sku);
        traffic.restock("nothing that this shop keeps");
        let deliveries = (0..300).filter(|_| traffic.next()["type"] == "stock-received").count();
        assert_eq!(deliveries, 1);
    }
}
