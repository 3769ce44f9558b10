//! A guest without wasm: memory, a context, and one method per call, so that tests read like the
//! programs that they stand for.
#![allow(dead_code)]

pub mod host;

use std::sync::Arc;

use lucet_wasi::abi;
use lucet_wasi::types::{size, value};
use lucet_wasi::{Answer, Config, Context, Errno, Rights, Template};

/// Where results go.
const RESULT: u32 = 64;
/// Where lists of buffers go.
const IOVS: u32 = 256;
/// Where paths go: two of them.
const PATHS: [u32; 2] = [0x1_0000, 0x2_0000];
/// Where data goes.
pub const DATA: u32 = 0x4_0000;
/// How large the memory is.
pub const MEMORY: usize = 0x10_0000;

/// The first preopened directory.
pub const ROOT: u32 = 3;

/// What a call that neither ends the guest nor waits came to.
pub fn done(answer: Answer) -> Result<(), Errno> {
    match answer {
        Answer::Errno(Errno::Success) => Ok(()),
        Answer::Errno(errno) => Err(errno),
        other => panic!("{other:?}"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filestat {
    pub dev: u64,
    pub ino: u64,
    pub filetype: u8,
    pub nlink: u64,
    pub size: u64,
    pub atim: u64,
    pub mtim: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fdstat {
    pub filetype: u8,
    pub flags: u16,
    pub base: Rights,
    pub inheriting: Rights,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirent {
    pub name: String,
    pub ino: u64,
    pub filetype: u8,
    pub next: u64,
}

/// An event of `poll_oneoff`: userdata, error, type, bytes, flags.
pub type Event = (u64, u16, u8, u64, u16);

/// What `path_open` is asked for besides directory and path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    pub follow: bool,
    pub oflags: u16,
    pub base: Rights,
    pub inheriting: Rights,
    pub fdflags: u16,
}

impl How {
    pub fn with(oflags: u16) -> How {
        let base = Rights::FILE;
        How { follow: true, oflags, base, inheriting: Rights::EVERY, fdflags: 0 }
    }
    pub fn read() -> How {
        How { base: Rights::FILE.within(Rights::READ_ONLY), ..How::with(0) }
    }
    pub fn write() -> How {
        How::with(value::OFLAGS_CREAT | value::OFLAGS_TRUNC)
    }
    pub fn directory() -> How {
        How { base: Rights::DIRECTORY, ..How::with(value::OFLAGS_DIRECTORY) }
    }
}

pub struct Guest {
    pub ctx: Context,
    pub mem: Vec<u8>,
}

impl Guest {
    pub fn new(config: Config) -> Guest {
        Guest::of(&config.build().expect("the configuration is good"))
    }

    pub fn of(template: &Arc<Template>) -> Guest {
        Guest { ctx: Context::new(template), mem: vec![0; MEMORY] }
    }

    pub fn put(&mut self, at: u32, bytes: &[u8]) {
        self.mem[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }
    pub fn get(&self, at: u32, len: usize) -> &[u8] {
        &self.mem[at as usize..][..len]
    }
    pub fn u32(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.get(at, 4).try_into().unwrap())
    }
    pub fn u64(&self, at: u32) -> u64 {
        u64::from_le_bytes(self.get(at, 8).try_into().unwrap())
    }
    /// Puts path number `n`; its address and length.
    pub fn path(&mut self, n: usize, path: impl AsRef<[u8]>) -> (u32, u32) {
        self.put(PATHS[n], path.as_ref());
        (PATHS[n], path.as_ref().len() as u32)
    }
    /// Puts one buffer description.
    pub fn iovec(&mut self, addr: u32, len: u32) -> u32 {
        self.put(IOVS, &addr.to_le_bytes());
        self.put(IOVS + 4, &len.to_le_bytes());
        IOVS
    }

    pub fn open(&mut self, dir: u32, path: impl AsRef<[u8]>, how: How) -> Result<u32, Errno> {
        let (at, len) = self.path(0, path);
        done(abi::path_open(
            &mut self.ctx,
            &mut self.mem,
            dir,
            u32::from(how.follow),
            at,
            len,
            how.oflags.into(),
            how.base.0,
            how.inheriting.0,
            how.fdflags.into(),
            RESULT,
        ))?;
        Ok(self.u32(RESULT))
    }
    pub fn close(&mut self, fd: u32) -> Result<(), Errno> {
        done(abi::fd_close(&mut self.ctx, &mut self.mem, fd))
    }
    pub fn renumber(&mut self, fd: u32, to: u32) -> Result<(), Errno> {
        done(abi::fd_renumber(&mut self.ctx, &mut self.mem, fd, to))
    }
    pub fn read(&mut self, fd: u32, len: u32) -> Result<Vec<u8>, Errno> {
        let iovs = self.iovec(DATA, len);
        done(abi::fd_read(&mut self.ctx, &mut self.mem, fd, iovs, 1, RESULT))?;
        let count = self.u32(RESULT) as usize;
        Ok(self.get(DATA, count).to_vec())
    }
    pub fn write_answer(&mut self, fd: u32, bytes: &[u8]) -> Answer {
        self.put(DATA, bytes);
        let iovs = self.iovec(DATA, bytes.len() as u32);
        abi::fd_write(&mut self.ctx, &mut self.mem, fd, iovs, 1, RESULT)
    }
    pub fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<u32, Errno> {
        done(self.write_answer(fd, bytes))?;
        Ok(self.u32(RESULT))
    }
    pub fn pread(&mut self, fd: u32, len: u32, offset: u64) -> Result<Vec<u8>, Errno> {
        let iovs = self.iovec(DATA, len);
        done(abi::fd_pread(&mut self.ctx, &mut self.mem, fd, iovs, 1, offset, RESULT))?;
        let count = self.u32(RESULT) as usize;
        Ok(self.get(DATA, count).to_vec())
    }
    pub fn pwrite(&mut self, fd: u32, bytes: &[u8], offset: u64) -> Result<u32, Errno> {
        self.put(DATA, bytes);
        let iovs = self.iovec(DATA, bytes.len() as u32);
        done(abi::fd_pwrite(&mut self.ctx, &mut self.mem, fd, iovs, 1, offset, RESULT))?;
        Ok(self.u32(RESULT))
    }
    pub fn seek(&mut self, fd: u32, offset: i64, whence: u8) -> Result<u64, Errno> {
        let (ctx, mem) = (&mut self.ctx, &mut self.mem);
        done(abi::fd_seek(ctx, mem, fd, offset as u64, whence.into(), RESULT))?;
        Ok(self.u64(RESULT))
    }
    pub fn tell(&mut self, fd: u32) -> Result<u64, Errno> {
        done(abi::fd_tell(&mut self.ctx, &mut self.mem, fd, RESULT))?;
        Ok(self.u64(RESULT))
    }
    pub fn fdstat(&mut self, fd: u32) -> Result<Fdstat, Errno> {
        done(abi::fd_fdstat_get(&mut self.ctx, &mut self.mem, fd, RESULT))?;
        Ok(Fdstat {
            filetype: self.get(RESULT, 1)[0],
            flags: u16::from_le_bytes(self.get(RESULT + 2, 2).try_into().unwrap()),
            base: Rights(self.u64(RESULT + 8)),
            inheriting: Rights(self.u64(RESULT + 16)),
        })
    }
    pub fn set_rights(&mut self, fd: u32, base: Rights, inherit: Rights) -> Result<(), Errno> {
        let (ctx, mem) = (&mut self.ctx, &mut self.mem);
        done(abi::fd_fdstat_set_rights(ctx, mem, fd, base.0, inherit.0))
    }
    fn filestat(&self) -> Filestat {
        Filestat {
            dev: self.u64(RESULT),
            ino: self.u64(RESULT + 8),
            filetype: self.get(RESULT + 16, 1)[0],
            nlink: self.u64(RESULT + 24),
            size: self.u64(RESULT + 32),
            atim: self.u64(RESULT + 40),
            mtim: self.u64(RESULT + 48),
        }
    }
    pub fn fstat(&mut self, fd: u32) -> Result<Filestat, Errno> {
        done(abi::fd_filestat_get(&mut self.ctx, &mut self.mem, fd, RESULT))?;
        Ok(self.filestat())
    }
    pub fn stat(
        &mut self,
        dir: u32,
        path: impl AsRef<[u8]>,
        follow: bool,
    ) -> Result<Filestat, Errno> {
        let (at, len) = self.path(0, path);
        let (ctx, mem) = (&mut self.ctx, &mut self.mem);
        done(abi::path_filestat_get(ctx, mem, dir, follow.into(), at, len, RESULT))?;
        Ok(self.filestat())
    }
    pub fn set_times(
        &mut self,
        dir: u32,
        path: impl AsRef<[u8]>,
        follow: bool,
        mtim: u64,
    ) -> Result<(), Errno> {
        let (at, len) = self.path(0, path);
        let flags = value::FSTFLAGS_MTIM.into();
        let (ctx, mem) = (&mut self.ctx, &mut self.mem);
        done(abi::path_filestat_set_times(ctx, mem, dir, follow.into(), at, len, 0, mtim, flags))
    }
    pub fn mkdir(&mut self, dir: u32, path: impl AsRef<[u8]>) -> Result<(), Errno> {
        let (at, len) = self.path(0, path);
        done(abi::path_create_directory(&mut self.ctx, &mut self.mem, dir, at, len))
    }
    pub fn rmdir(&mut self, dir: u32, path: impl AsRef<[u8]>) -> Result<(), Errno> {
        let (at, len) = self.path(0, path);
        done(abi::path_remove_directory(&mut self.ctx, &mut self.mem, dir, at, len))
    }
    pub fn unlink(&mut self, dir: u32, path: impl AsRef<[u8]>) -> Result<(), Errno> {
        let (at, len) = self.path(0, path);
        done(abi::path_unlink_file(&mut self.ctx, &mut self.mem, dir, at, len))
    }
    pub fn readlink(&mut self, dir: u32, path: impl AsRef<[u8]>) -> Result<Vec<u8>, Errno> {
        let (at, len) = self.path(0, path);
        let (ctx, mem) = (&mut self.ctx, &mut self.mem);
        done(abi::path_readlink(ctx, mem, dir, at, len, DATA, 0x1_0000, RESULT))?;
        let count = self.u32(RESULT) as usize;
        Ok(self.get(DATA, count).to_vec())
    }
    pub fn symlink(
        &mut self,
        target: impl AsRef<[u8]>,
        dir: u32,
        path: impl AsRef<[u8]>,
    ) -> Result<(), Errno> {
        let (old, old_len) = self.path(0, target);
        let (new, new_len) = self.path(1, path);
        let (ctx, mem) = (&mut self.ctx, &mut self.mem);
        done(abi::path_symlink(ctx, mem, old, old_len, dir, new, new_len))
    }
    pub fn link(
        &mut self,
        old_dir: u32,
        old: impl AsRef<[u8]>,
        new_dir: u32,
        new: impl AsRef<[u8]>,
    ) -> Result<(), Errno> {
        let (old, old_len) = self.path(0, old);
        let (new, new_len) = self.path(1, new);
        let (ctx, mem) = (&mut self.ctx, &mut self.mem);
        done(abi::path_link(ctx, mem, old_dir, 0, old, old_len, new_dir, new, new_len))
    }
    pub fn rename(
        &mut self,
        old_dir: u32,
        old: impl AsRef<[u8]>,
        new_dir: u32,
        new: impl AsRef<[u8]>,
    ) -> Result<(), Errno> {
        let (old, old_len) = self.path(0, old);
        let (new, new_len) = self.path(1, new);
        let (ctx, mem) = (&mut self.ctx, &mut self.mem);
        done(abi::path_rename(ctx, mem, old_dir, old, old_len, new_dir, new, new_len))
    }
    /// One `fd_readdir`: the entries that are whole, and whether the buffer was full.
    pub fn readdir_once(
        &mut self,
        fd: u32,
        len: u32,
        cookie: u64,
    ) -> Result<(Vec<Dirent>, bool), Errno> {
        let (ctx, mem) = (&mut self.ctx, &mut self.mem);
        done(abi::fd_readdir(ctx, mem, fd, DATA, len, cookie, RESULT))?;
        let used = self.u32(RESULT);
        let mut entries = Vec::new();
        let mut at = DATA;
        while at + size::DIRENT <= DATA + used {
            let named = self.u32(at + 16);
            if at + size::DIRENT + named > DATA + used {
                break;
            }
            let name = self.get(at + size::DIRENT, named as usize).to_vec();
            entries.push(Dirent {
                name: String::from_utf8(name).unwrap(),
                ino: self.u64(at + 8),
                filetype: self.get(at + 20, 1)[0],
                next: self.u64(at),
            });
            at += size::DIRENT + named;
        }
        Ok((entries, used == len))
    }
    /// The whole directory.
    pub fn readdir(&mut self, fd: u32, len: u32) -> Result<Vec<Dirent>, Errno> {
        let mut all: Vec<Dirent> = Vec::new();
        loop {
            let cookie = all.last().map_or(0, |e| e.next);
            let (entries, full) = self.readdir_once(fd, len, cookie)?;
            let some = !entries.is_empty();
            all.extend(entries);
            if !full {
                return Ok(all);
            }
            assert!(some, "a full buffer without an entry");
        }
    }
    /// Polls with subscriptions as bytes; the events as [`Event`]s.
    pub fn poll_answer(&mut self, subscriptions: &[[u8; 48]]) -> Answer {
        self.put(DATA, &subscriptions.concat());
        let (ctx, mem) = (&mut self.ctx, &mut self.mem);
        abi::poll_oneoff(ctx, mem, DATA, DATA + 0x8000, subscriptions.len() as u32, RESULT)
    }
    pub fn polled(&self) -> Vec<Event> {
        let u16 = |at| u16::from_le_bytes(self.get(at, 2).try_into().unwrap());
        (0..self.u32(RESULT))
            .map(|n| DATA + 0x8000 + n * size::EVENT)
            .map(|at| {
                let kind = self.get(at + 10, 1)[0];
                (self.u64(at), u16(at + 8), kind, self.u64(at + 16), u16(at + 24))
            })
            .collect()
    }
    pub fn poll(&mut self, subscriptions: &[[u8; 48]]) -> Result<Vec<Event>, Errno> {
        done(self.poll_answer(subscriptions))?;
        Ok(self.polled())
    }
    pub fn result(&self) -> u32 {
        self.u32(RESULT)
    }
}

pub fn clock_subscription(userdata: u64, clock: u32, timeout: u64, absolute: bool) -> [u8; 48] {
    let mut s = [0; 48];
    s[..8].copy_from_slice(&userdata.to_le_bytes());
    s[8] = value::EVENTTYPE_CLOCK;
    s[16..20].copy_from_slice(&clock.to_le_bytes());
    s[24..32].copy_from_slice(&timeout.to_le_bytes());
    s[40] = u8::from(absolute);
    s
}

pub fn fd_subscription(userdata: u64, fd: u32, write: bool) -> [u8; 48] {
    let mut s = [0; 48];
    s[..8].copy_from_slice(&userdata.to_le_bytes());
    s[8] = if write { value::EVENTTYPE_FD_WRITE } else { value::EVENTTYPE_FD_READ };
    s[16..20].copy_from_slice(&fd.to_le_bytes());
    s
}
