//! Knows what a disk can be attached to, and QEMU's words for it.

/// What stands between the machine and its disk, which is QEMU's drive `disk`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bus {
    /// A paravirtual disk.
    #[default]
    VirtioBlk,
    /// The same, with sectors of 4096 bytes.
    VirtioBlk4k,
    /// A disk at a paravirtual SCSI controller.
    VirtioScsi,
    /// An NVMe drive.
    Nvme,
    /// A SATA disk.
    Ahci,
    /// A disk at the IDE controller of an old board.
    Ide,
    /// A USB stick at an xHCI port.
    Usb,
    /// An SD card in a PCI reader.
    Sd,
    /// A disk at VMware's controller.
    Pvscsi,
    /// A disk at a MegaRAID controller.
    MegaRaid,
}

impl Bus {
    /// QEMU's devices, the controller first.
    pub fn devices(self) -> &'static [&'static str] {
        const SCSI: &str = "scsi-hd,drive=disk,bootindex=0";
        match self {
            Self::VirtioBlk => &["virtio-blk-pci,drive=disk,bootindex=0"],
            Self::VirtioBlk4k => {
                &["virtio-blk-pci,drive=disk,bootindex=0,logical_block_size=4096,physical_block_size=4096"]
            }
            Self::VirtioScsi => &["virtio-scsi-pci", SCSI],
            Self::Nvme => &["nvme,drive=disk,serial=kubesolo,bootindex=0"],
            // The controller is part of the board.
            Self::Ahci | Self::Ide => &["ide-hd,drive=disk,bus=ide.0,bootindex=0"],
            Self::Usb => &["qemu-xhci", "usb-storage,id=stick,drive=disk,bootindex=0"],
            Self::Sd => &["sdhci-pci", "sd-card,drive=disk"],
            Self::Pvscsi => &["pvscsi", SCSI],
            Self::MegaRaid => &["megasas", SCSI],
        }
    }

    /// The board that has it, where that is not the usual one.
    pub fn machine(self) -> Option<&'static str> {
        (self == Self::Ide).then_some("pc")
    }

    /// The name that Linux gives the disk.
    pub fn disk(self) -> &'static str {
        match self {
            Self::VirtioBlk | Self::VirtioBlk4k => "/dev/vda",
            Self::Nvme => "/dev/nvme0n1",
            Self::Sd => "/dev/mmcblk0",
            _ => "/dev/sda",
        }
    }
}
