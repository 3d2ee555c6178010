//! A name server's answers, parted by the byte pair `ff ff`: the name asked for, then messages, of which the first two
//! bytes are made those of the question.
//!
//! A stray message is no answer, and no message gives more addresses than it has room for.
#![no_main]

use kubesolo_core::net::dns::{self, ADDRESSES_MAX, Addresses, Kind, MAX};
use kubesolo_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let at = input.windows(2).position(|pair| pair == [0xff, 0xff]).unwrap_or(input.len());
    let (name, reply) = (input.get(..at).unwrap_or_default(), input.get(at + 2..).unwrap_or_default());
    let name = str::from_utf8(name).unwrap_or_default();
    let reply = &reply[..reply.len().min(MAX)];
    bounded(|| {
        for kind in [Kind::A, Kind::Aaaa] {
            let Some(query) = dns::query(0x1234, name, kind) else { continue };
            assert!(query.len() <= name.len() + 18);
            let mut addresses = Addresses::new();
            assert!(dns::answer(&query, reply, &mut addresses).is_err() || reply.starts_with(&[0x12, 0x34]));
            assert!(dns::answer(&query, &query, &mut addresses).is_err(), "a question is no answer");

            // The same as an answer to this question, as far as that goes.
            let mut forged = query.to_vec();
            forged.extend_from_slice(reply.get(12..).unwrap_or_default());
            for (to, from) in forged.iter_mut().zip(reply).take(12).skip(2) {
                *to = *from;
            }
            forged.truncate(MAX);
            let mut addresses = Addresses::new();
            let answer = dns::answer(&query, &forged, &mut addresses);
            assert!(addresses.len() <= ADDRESSES_MAX.min(forged.len() / 14));
            answer.err().map(|error| error.to_string());
        }
    });
});
