//! Knows the smallest bzImage that GRUB takes: it prints its command line on the first serial port and resets.
//!
//! It stands in for a slot's kernel where only GRUB's choice matters: a boot then ends a moment after GRUB's jump.
//! Source: Linux `Documentation/arch/x86/boot.rst`.
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0x1f1 | 1 | setup sectors after the first: 1 |
//! | 0x1fe | 2 | 0xaa55 |
//! | 0x202 | 4 | `HdrS` |
//! | 0x206 | 2 | boot protocol 2.06 |
//! | 0x211 | 1 | loadflags: LOADED_HIGH |
//! | 0x214 | 4 | code32_start: 1 MiB |
//! | 0x22c | 4 | highest address for the initramfs |
//! | 0x238 | 4 | longest command line |
//! | 0x400 | – | 32-bit code, `esi` = boot_params |

const SETUP_LEN: usize = 0x400;

/// 32-bit code, position-independent. GRUB enters it with interrupts off and flat segments.
const CODE: &[u8] = &[
    0xfc, //                                   cld
    0x8b, 0xb6, 0x28, 0x02, 0x00, 0x00, //     mov esi, [esi+0x228]   ; cmd_line_ptr
    0xb0, 0x0a, //                             mov al, '\n'
    0xe8, 0x22, 0x00, 0x00, 0x00, //           call putc
    // next:
    0xac, //                                   lodsb
    0x84, 0xc0, //                             test al, al
    0x74, 0x07, //                             jz done
    0xe8, 0x18, 0x00, 0x00, 0x00, //           call putc
    0xeb, 0xf4, //                             jmp next
    // done:
    0xb0, 0x0a, //                             mov al, '\n'
    0xe8, 0x0f, 0x00, 0x00, 0x00, //           call putc
    // drain:
    0xec, //                                   in al, dx              ; putc left dx = 0x3fd
    0xa8, 0x40, //                             test al, 0x40          ; transmitter empty
    0x74, 0xfb, //                             jz drain
    0x66, 0xba, 0xf9, 0x0c, //                 mov dx, 0xcf9          ; chipset reset
    0xb0, 0x06, //                             mov al, 6
    0xee, //                                   out dx, al
    0xf4, //                                   hlt
    0xeb, 0xfd, //                             jmp $-1
    // putc:
    0x88, 0xc4, //                             mov ah, al
    0x66, 0xba, 0xfd, 0x03, //                 mov dx, 0x3fd          ; line status
    0xec, //                                   in al, dx
    0xa8, 0x20, //                             test al, 0x20          ; room for a byte
    0x74, 0xfb, //                             jz $-3
    0x66, 0xba, 0xf8, 0x03, //                 mov dx, 0x3f8
    0x88, 0xe0, //                             mov al, ah
    0xee, //                                   out dx, al
    0x66, 0xba, 0xfd, 0x03, //                 mov dx, 0x3fd
    0xc3, //                                   ret
];

/// The whole kernel file.
pub fn kernel() -> Vec<u8> {
    let mut file = vec![0; SETUP_LEN];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[1]);
    put(0x1f4, &64u32.to_le_bytes());
    put(0x1fe, &[0x55, 0xaa]);
    put(0x202, b"HdrS");
    put(0x206, &0x0206u16.to_le_bytes());
    put(0x211, &[1]);
    put(0x214, &0x10_0000u32.to_le_bytes());
    put(0x22c, &0x07ff_ffffu32.to_le_bytes());
    put(0x238, &2047u32.to_le_bytes());
    file.extend_from_slice(CODE);
    file.resize(SETUP_LEN + 1024, 0);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_in_the_code_goes_to_putc() {
        let putc = CODE.windows(2).position(|w| w == [0x88, 0xc4]).unwrap();
        for at in CODE.iter().enumerate().filter(|(_, b)| **b == 0xe8).map(|(at, _)| at) {
            let rel = u32::from_le_bytes(CODE[at + 1..at + 5].try_into().unwrap());
            assert_eq!(at + 5 + rel as usize, putc, "call at {at:#x}");
        }
    }

    #[test]
    fn the_header_says_what_grub_looks_for() {
        let kernel = kernel();
        assert_eq!(&kernel[0x202..0x206], b"HdrS");
        assert_eq!(kernel.len(), 2048);
    }
}
