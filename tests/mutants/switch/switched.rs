//! Which mutant is on. `mq-switch` puts this file into the copy of the sources that it writes: the number stands in the
//! program itself, where `tests/mutants/survey` writes it, so that neither the environment nor a file says it to a test.

#[repr(C)]
pub struct Switch([u8; 24], u32);

#[used]
static SWITCH: Switch = Switch(*b"@@mq: the mutant is on@@", 0);

/// Every place that is reached says so in this file.
const REACHED: u32 = u32::MAX;

pub fn on(mutant: u32) -> bool {
    // SAFETY: a static, aligned; volatile because it is other than was compiled.
    let now = unsafe { std::ptr::read_volatile(&raw const SWITCH.1) };
    if now == REACHED {
        reach(mutant);
    }
    now == mutant
}

#[cold]
fn reach(mutant: u32) {
    static MAP: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let map = *MAP.get_or_init(|| {
        let path = concat!(env!("MQ_REACHED"), "\0");
        // SAFETY: `path` ends with NUL; what is mapped stays mapped.
        unsafe {
            let fd = libc::open(path.as_ptr().cast(), libc::O_RDWR | libc::O_CLOEXEC);
            let (read_write, length) = (libc::PROT_READ | libc::PROT_WRITE, 1 << 16);
            let map = libc::mmap(std::ptr::null_mut(), length, read_write, libc::MAP_SHARED, fd, 0);
            libc::close(fd);
            if map == libc::MAP_FAILED { 0 } else { map as usize }
        }
    });
    if map != 0 && mutant < 1 << 16 {
        // SAFETY: within what is mapped.
        unsafe { (map as *mut u8).add(mutant as usize).write_volatile(1) };
    }
}
