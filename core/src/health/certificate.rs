//! When a client certificate of a kubeconfig is good: the validity of an X.509 certificate (RFC 5280 section 4.1) as PEM (RFC 7468) in
//! base64. Nothing else of it is read, and nothing is checked: it only says why an API server refuses the box.

use core::fmt::Write as _;

use crate::text::base64::decode;
use crate::text::timestamp::Moment;

/// DER's tags of the version, and of the two forms of a time.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// From when to when the first certificate is good; `None` for what is no certificate.
pub fn validity(text: &str) -> Option<(Moment, Moment)> {
    let mut pem = decode(text.bytes());
    // Its first line is in dashes.
    pem.find(|byte| *byte == b'\n')?;
    let der = &mut decode(pem);
    // The certificate and its signed part are entered: the validity is behind version (not in the oldest), number, algorithm, issuer.
    header(der)?;
    header(der)?;
    let (tag, length) = header(der)?;
    skip(der, length)?;
    for _ in 0..if tag == VERSION { 3 } else { 2 } {
        let (_, length) = header(der)?;
        skip(der, length)?;
    }
    header(der)?;
    Some((time(der)?, time(der)?))
}

/// Tag and length of the next value.
fn header(der: &mut impl Iterator<Item = u8>) -> Option<(u8, u32)> {
    let tag = der.next()?;
    let first = der.next()?;
    let Some(more) = first.checked_sub(0x80) else { return Some((tag, first.into())) };
    let mut length: u32 = 0;
    for _ in 0..more {
        length = length.checked_mul(256)?.checked_add(der.next()?.into())?;
    }
    Some((tag, length))
}

fn skip(der: &mut impl Iterator<Item = u8>, length: u32) -> Option<()> {
    for _ in 0..length {
        der.next()?;
    }
    Some(())
}

/// `YYMMDDhhmmssZ`, or with four digits for the year.
fn time(der: &mut impl Iterator<Item = u8>) -> Option<Moment> {
    let (tag, _) = header(der)?;
    let mut two = || Some([der.next()?, der.next()?]);
    let mut text = heapless::String::<20>::new();
    let mut add = |digits: [u8; 2], end: &str| write!(text, "{}{end}", core::str::from_utf8(&digits).ok()?).ok();
    let mut year = two()?;
    match tag {
        UTC_TIME => add(if year < *b"50" { *b"20" } else { *b"19" }, "")?,
        GENERALIZED_TIME => {
            add(year, "")?;
            year = two()?;
        }
        _ => return None,
    }
    add(year, "-")?;
    for end in ["-", "T", ":", ":", "Z"] {
        add(two()?, end)?;
    }
    // The Z of the certificate.
    der.next()?;
    Moment::parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const OLD: &str = concat!(
        "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJMekNCMXdJVVBRUTg5bGxVK1BXdDd2bjNHaTNacEwxK3FQTXdDZ1lJS29aSXpq",
        "MEVBd0l3RFRFTE1Ba0cKQTFVRUF3d0NZMkV3SGhjTk1qWXhNVEkzTVRZME5UQXdXaGNOTWpZeE1USTJNVFkwTlRBd1dqQXBNUmN3RlFZ",
        "RApWUVFLREE1emVYTjBaVzA2YldGemRHVnljekVPTUF3R0ExVUVBd3dGWVdSdGFXNHdXVEFUQmdjcWhrak9QUUlCCkJnZ3Foa2pPUFFN",
        "QkJ3TkNBQVNPVFdEakhnSnlUb1dzTEtIaVZoT2tWMVorWGJqK0dmT0V1WVRZc3JQeDJGMEcKN0xIZ2lVZTBpd1JBR3pnelQrL3BjbUo1",
        "VHZFcDNBL3pRWFN2VVI3T01Bb0dDQ3FHU000OUJBTUNBMGNBTUVRQwpJQktFbmZkMWNvdCttLzVTa3YrN1dkNFNyVEFDNTg1dUJJV2NZ",
        "Mk5rNy90dEFpQityRGZFS3dtT1R5MjVLZ3AvCnRvVngrbHFwY3AzUzJidW1uNVNXT2pMSTJBPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUt",
        "LS0tLQo=",
    );
    const LONG: &str = concat!(
        "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJNakNCMlFJVVBRUTg5bGxVK1BXdDd2bjNHaTNacEwxK3FQUXdDZ1lJS29aSXpq",
        "MEVBd0l3RFRFTE1Ba0cKQTFVRUF3d0NZMkV3SUJjTk1qWXhNVEkzTVRZME5UQXdXaGdQTWpBNE1UQTRNekF4TmpRMU1EQmFNQ2t4RnpB",
        "VgpCZ05WQkFvTURuTjVjM1JsYlRwdFlYTjBaWEp6TVE0d0RBWURWUVFEREFWaFpHMXBiakJaTUJNR0J5cUdTTTQ5CkFnRUdDQ3FHU000",
        "OUF3RUhBMElBQkk1TllPTWVBbkpPaGF3c29lSldFNlJYVm41ZHVQNFo4NFM1aE5peXMvSFkKWFFic3NlQ0pSN1NMQkVBYk9ETlA3K2x5",
        "WW5sTzhTbmNEL05CZEs5UkhzNHdDZ1lJS29aSXpqMEVBd0lEU0FBdwpSUUlnWkZ2cHFtU0FnOHVEdzZSVVhvR0V2c3U2dm1hUVF1WFlZ",
        "azdMR20rdnd2MENJUUQvTjlyYXRmeUNMblZsCm41UlRlczA3ZzFDTTBRNldrazBiVG1aQ0I0RGVwdz09Ci0tLS0tRU5EIENFUlRJRklD",
        "QVRFLS0tLS0K",
    );
    const THREE: &str = concat!(
        "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJwakNDQVV5Z0F3SUJBZ0lUT00zbFBsNjdCbmdHQ3FPM1JhNHdNeG9QanpBS0Jn",
        "Z3Foa2pPUFFRREFqQXAKTVJjd0ZRWURWUVFLREE1emVYTjBaVzA2YldGemRHVnljekVPTUF3R0ExVUVBd3dGWVdSdGFXNHdIaGNOTWpZ",
        "eApNVEkzTVRZME5ETXhXaGNOTWpZeE1USTRNVFkwTkRNeFdqQXBNUmN3RlFZRFZRUUtEQTV6ZVhOMFpXMDZiV0Z6CmRHVnljekVPTUF3",
        "R0ExVUVBd3dGWVdSdGFXNHdXVEFUQmdjcWhrak9QUUlCQmdncWhrak9QUU1CQndOQ0FBUkgKWFgxT3N4MTd1L0t1QjBHS3NRZEpZNHZD",
        "Z0dmYlVKTnV2N09qQTIyTFZlYjR6a2xGWWwxVEdYYS9iek11ZVpodgpDSTFzQzFzQTk2N3FvRmtzSDQ4QW8xTXdVVEFkQmdOVkhRNEVG",
        "Z1FVMGlNN09HTnhvYmNsbXlkeUpuZVRjYnhPCmt0Y3dId1lEVlIwakJCZ3dGb0FVMGlNN09HTnhvYmNsbXlkeUpuZVRjYnhPa3Rjd0R3",
        "WURWUjBUQVFIL0JBVXcKQXdFQi96QUtCZ2dxaGtqT1BRUURBZ05JQURCRkFpQmYyUk9QVEpDVzl6MHl6V0VWOGZOSk4ycWZsSE9kMVlB",
        "OAprSTVINVdxbEdnSWhBTHEyQmxpaFB3Sk1aa2oyU1B1Q0N6SVAyanVaZitkR3Y4dlprR1lJVG8vQwotLS0tLUVORCBDRVJUSUZJQ0FU",
        "RS0tLS0tCg==",
    );

    #[test]
    fn what_openssl_made_is_read() {
        // openssl x509 -noout -dates
        let rows = [
            ("version 1", OLD, "2026-11-27T16:45:00Z 2026-11-26T16:45:00Z"),
            ("four digits", LONG, "2026-11-27T16:45:00Z 2081-08-30T16:45:00Z"),
            ("version 3", THREE, "2026-11-27T16:44:31Z 2026-11-28T16:44:31Z"),
        ];
        for (case, text, want) in rows {
            let (from, to) = validity(text).unwrap();
            assert_eq!([from.to_string(), to.to_string()].join(" "), want, "{case}");
        }
    }

    #[test]
    fn what_is_cut_is_no_certificate() {
        for text in ["", "LS0tLS1CRUdJTg==", "%%%", &THREE[..160]] {
            assert_eq!(validity(text), None, "{text}");
        }
        for length in 0..THREE.len() {
            let cut = validity(&THREE[..length]);
            assert!(cut.is_none() || cut == validity(THREE), "{length}");
        }
    }
}
