//! What no event is, each with the reason for which it is buried.

use holdfast::ports::DeadLetterReason;
use serde_json::json;

use super::Teller;
use crate::simulation::case::What;
use crate::simulation::equipment::MAX_EVENT_BYTES;
use crate::simulation::workload::{Input, Malformed, Readable};

impl Teller {
    pub(super) fn malformed(&mut self) {
        let topic = *self.dice.choice(&["order-created", "cart-updated", "stock-received"]).unwrap_or(&"order-created");
        let (event_type, payload, readable) = self.nonsense(topic);
        self.number += 1;
        let (number, at_ms) = (self.number, self.moment());
        let malformed = Malformed { topic, event_type, payload, readable, is_direct: self.one_in(6) };
        self.happens(at_ms, What::Told(number, Input::Malformed(malformed)));
    }

    /// A type, a body, and what they are to whoever reads them.
    fn nonsense(&mut self, topic: &'static str) -> (&'static str, Option<Vec<u8>>, Readable) {
        let lines = json!([{"sku": "A", "quantity": 1}]);
        let (event_type, payload, reason) = match self.dice.u8(0..12) {
            0 => (topic, Some(b"{\"event_id\": \"cut".to_vec()), DeadLetterReason::Undecodable),
            1 => (topic, Some(Vec::new()), DeadLetterReason::Undecodable),
            2 => (topic, None, DeadLetterReason::Undecodable),
            // Neither a registry nor the contract knows what these were written with.
            3 => (topic, Some(vec![0, 0, 0, 0, 9, 1, 2, 3]), DeadLetterReason::UnknownSchema),
            4 => (topic, Some([[0xc3, 0x01].as_slice(), &[0xff; 12]].concat()), DeadLetterReason::UnknownSchema),
            5 => (topic, Some(br#"{"event_id": "no-key", "lines": []}"#.to_vec()), DeadLetterReason::MissingKeyField),
            6 => ("order-pondered", Some(br#"{"event_id": "no-rule"}"#.to_vec()), DeadLetterReason::UnknownType),
            // Nobody else may say that time ran out.
            7 => ("claim-expired", Some(br#"{"event_id": "not-yours"}"#.to_vec()), DeadLetterReason::UnknownType),
            8 => {
                let body = json!({"order_id": self.reference('O'), "lines": lines});
                (topic, Some(body.to_string().into_bytes()), DeadLetterReason::MissingId)
            }
            9 => {
                let body = json!({"event_id": "odd", "order_id": "O-1", "policy": "perhaps", "lines": lines});
                ("order-created", Some(body.to_string().into_bytes()), DeadLetterReason::InvalidField)
            }
            10 => (topic, Some(vec![b' '; MAX_EVENT_BYTES + 1]), DeadLetterReason::TooLarge),
            _ => {
                let bytes = (0..self.dice.usize(0..40)).map(|_| self.dice.u8(..)).collect();
                return (topic, Some(bytes), Readable::Nonsense);
            }
        };
        (event_type, payload, Readable::Buried(reason))
    }
}
