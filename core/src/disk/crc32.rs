//! The CRC-32 of IEEE 802.3, which a GPT carries (UEFI 2.10 §4.2, §5.3). Why it is bit by bit: docs/decisions/0011-small-crc.md.

/// The polynomial, its highest power in the lowest bit.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// The CRC-32 of other bytes, which is `before`, and `bytes` after them; that of no bytes is 0.
pub(crate) fn crc32(before: u32, bytes: &[u8]) -> u32 {
    let mut crc = !before;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..u8::BITS {
            crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ POLYNOMIAL };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_that_others_compute() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        let bytes = core::array::from_fn::<u8, 1024, _>(|at| (at * 7 % 256) as u8);
        for len in [0, 1, 4, 91, 92, 512, 1024] {
            assert_eq!(crc32(0, &bytes[..len]), crc32fast::hash(&bytes[..len]), "{len} bytes");
        }
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let (first, second) = b"EFI PART of two pieces".split_at(9);
        assert_eq!(crc32(crc32(0, first), second), crc32(0, b"EFI PART of two pieces"));
        assert_eq!(crc32(crc32(0, first), b""), crc32(0, first));
    }
}
