//! Words on the wire and in the database name what they say, and nothing else.

use crate::domain::alert::AlertState;
use crate::domain::claim::ClaimState;
use crate::domain::event::EventType;
use crate::domain::reconciliation::{Figure, FigureSource, Resolution};
use crate::domain::stock::{Level, Status};

macro_rules! assert_words {
    ($($kind:ident),+) => {$(
        for value in $kind::ALL {
            assert_eq!($kind::parse(value.as_str()), Some(value), "{}", value.as_str());
        }
        assert_eq!($kind::parse("nothing"), None, stringify!($kind));
    )+};
}

#[test]
fn every_word_names_what_it_says_and_no_other_word_names_anything() {
    assert_words!(AlertState, ClaimState, Figure, Resolution, Level, Status);
    for event_type in EventType::INPUT.into_iter().chain(EventType::OWN) {
        assert_eq!(EventType::parse(event_type.as_str()), Some(event_type));
    }
    assert_eq!(EventType::parse("nothing"), None);
}

#[test]
fn a_source_of_figures_that_is_no_part_of_our_books_is_another_system() {
    for part in FigureSource::INSIDE {
        assert_eq!(FigureSource::named(part.as_str()), part);
        assert!(part.is_inside());
    }
    let other = FigureSource::named("wms");
    assert_eq!(other, FigureSource::Outside("wms".into()));
    assert!(!other.is_inside());
}
