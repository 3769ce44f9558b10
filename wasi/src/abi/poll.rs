//! Waiting: for time, for descriptors, for the first of many.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{fstat, tell};
use rustix::io::{Errno as Host, ioctl_fionread};

use super::{Call, Done, Stop, run};
use crate::clocks::{Clock, ClockSource};
use crate::context::{Answer, Context, Interest, Wait};
use crate::memory::{Fields, Layout, Mem, element, put, put_u32};
use crate::streams::Stream;
use crate::table::Object;
use crate::template::In;
use crate::types::{Errno, Rights, size, value};

/// The arguments of `poll_oneoff`, and when it began: relative times count from there, however
/// often the call goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Poll {
    subscriptions: u32,
    events: u32,
    count: u32,
    nevents: u32,
    began: Option<(u64, u64)>,
}

/// Waits until one of `count` subscriptions has an event, and writes all events that are there.
pub fn poll_oneoff(
    ctx: &mut Context,
    mem: &mut Mem<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    nevents: u32,
) -> Answer {
    run(ctx, mem, Call::Poll(Poll { subscriptions, events, count, nevents, began: None }))
}

/// What a subscription waits for.
enum Want {
    Time {
        clock: Clock,
        at: u64,
    },
    Ready {
        fd: u32,
        write: bool,
    },
    /// Nothing: it is an error at once.
    Nothing(Errno),
}

struct Subscription {
    userdata: u64,
    kind: u8,
    want: Want,
}

/// An event: error, bytes, flags.
type Event = (Errno, u64, u16);

pub(crate) fn attempt(ctx: &mut Context, mem: &mut Mem<'_>, call: &mut Poll) -> Done {
    let count = call.count;
    if count == 0 || count > ctx.template.limits.subscriptions {
        return Err(Stop::Errno(Errno::Inval));
    }
    let bytes = mem.bytes(call.subscriptions, element(0, count, size::SUBSCRIPTION)?)?;
    let mut list = Vec::new();
    list.try_reserve_exact(count as usize).map_err(|_| Errno::Nomem)?;
    for subscription in bytes.chunks_exact(size::SUBSCRIPTION as usize) {
        list.push(ctx.subscription(&Fields(subscription), &mut call.began)?);
    }
    mem.bytes(call.events, element(0, count, size::EVENT)?)?;
    mem.bytes(call.nevents, 4)?;
    let found = ctx.events(&list)?;
    let mut written = 0u32;
    for (subscription, event) in list.iter().zip(found) {
        let Some((errno, nbytes, flags)) = event else { continue };
        let layout = Layout::<32>::new()
            .field(0, subscription.userdata.to_le_bytes())
            .field(8, errno.raw().to_le_bytes())
            .field(10, [subscription.kind])
            .field(16, nbytes.to_le_bytes())
            .field(24, flags.to_le_bytes());
        put(mem, element(call.events, written, size::EVENT)?, &layout.0)?;
        written += 1;
    }
    Ok(put_u32(mem, call.nevents, written)?)
}

impl Context {
    fn subscription(
        &mut self,
        fields: &Fields<'_>,
        began: &mut Option<(u64, u64)>,
    ) -> Result<Subscription, Errno> {
        let kind = fields.u8(8);
        let want = match kind {
            value::EVENTTYPE_CLOCK => {
                let (id, timeout, flags) = (fields.u32(16), fields.u64(24), fields.u16(40));
                if flags & !value::SUBCLOCKFLAGS_ABSTIME != 0 {
                    return Err(Errno::Inval);
                }
                match self.deadline(id, timeout, flags != 0, began) {
                    Ok((clock, at)) => Want::Time { clock, at },
                    Err(errno) => Want::Nothing(errno),
                }
            }
            value::EVENTTYPE_FD_READ | value::EVENTTYPE_FD_WRITE => {
                Want::Ready { fd: fields.u32(16), write: kind == value::EVENTTYPE_FD_WRITE }
            }
            _ => return Err(Errno::Inval),
        };
        Ok(Subscription { userdata: fields.u64(0), kind, want })
    }

    fn deadline(
        &mut self,
        id: u32,
        timeout: u64,
        absolute: bool,
        began: &mut Option<(u64, u64)>,
    ) -> Result<(Clock, u64), Errno> {
        let clock = Clock::from_raw(id)?;
        if absolute {
            return Ok((clock, timeout));
        }
        let began = match began {
            Some(began) => *began,
            None => *began.insert((self.now(Clock::Realtime)?, self.now(Clock::Monotonic)?)),
        };
        let from = if clock == Clock::Realtime { began.0 } else { began.1 };
        Ok((clock, from.saturating_add(timeout)))
    }

    /// The events that are there now, or what to wait for.
    fn events(&mut self, list: &[Subscription]) -> Result<Vec<Option<Event>>, Stop> {
        let mut found = Vec::new();
        found.try_reserve_exact(list.len()).map_err(|_| Errno::Nomem)?;
        found.extend(list.iter().map(|s| match s.want {
            Want::Time { .. } => None,
            Want::Ready { fd, write } => self.at_once(fd, write),
            Want::Nothing(errno) => Some((errno, 0, 0)),
        }));
        let interests = self.ask_host(list, &mut found)?;
        let timeout = self.ask_clocks(list, &mut found)?;
        if found.iter().any(Option::is_some) {
            return Ok(found);
        }
        Err(Stop::Wait(Wait { ready: interests, timeout }))
    }

    /// The event of a descriptor that the host need not be asked about.
    fn at_once(&self, fd: u32, write: bool) -> Option<Event> {
        let right = if write { Rights::FD_WRITE } else { Rights::FD_READ };
        // A listener is read by accepting.
        let right = match self.entry(fd, Rights::SOCK_ACCEPT) {
            Ok(_) => Rights::NONE,
            Err(_) => right,
        };
        let entry = match self.entry(fd, Rights::POLL_FD_READWRITE.and(right)) {
            Ok(entry) => entry,
            Err(errno) => return Some((errno, 0, 0)),
        };
        match &entry.object {
            Object::Directory { .. } => Some((Errno::Isdir, 0, 0)),
            Object::File { fd, kind } if kind.is_file() => {
                let left = |size: u64| size.saturating_sub(tell(fd).unwrap_or(0));
                let left = fstat(fd).map_or(0, |stat| left(stat.st_size as u64));
                Some((Errno::Success, if write { 0 } else { left }, 0))
            }
            Object::File { .. } => None,
            Object::Stream(Stream::In) => Some((Errno::Success, self.input_left(), 0)),
            Object::Stream(_) => Some((Errno::Success, 0, 0)),
        }
    }

    fn input_left(&self) -> u64 {
        match &self.template.stdin {
            In::Callback(_) => 1,
            In::Bytes(bytes) => {
                let all = self.stdin.as_deref().unwrap_or(bytes);
                all.len().saturating_sub(self.stdin_at) as u64
            }
        }
    }

    fn ask_host(
        &self,
        list: &[Subscription],
        found: &mut [Option<Event>],
    ) -> Result<Vec<Interest>, Errno> {
        let mut asked: Vec<(usize, BorrowedFd<'_>, bool)> = Vec::new();
        for (index, (subscription, event)) in list.iter().zip(found.iter()).enumerate() {
            if let (Want::Ready { fd, write }, None) = (&subscription.want, event)
                && let Some(host) = self.entry(*fd, Rights::NONE)?.host()
            {
                asked.try_reserve(1).map_err(|_| Errno::Nomem)?;
                asked.push((index, host, *write));
            }
        }
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let mut fds = Vec::new();
        fds.try_reserve_exact(asked.len()).map_err(|_| Errno::Nomem)?;
        fds.extend(asked.iter().map(|(_, fd, write)| {
            PollFd::from_borrowed_fd(*fd, if *write { PollFlags::OUT } else { PollFlags::IN })
        }));
        poll_now(&mut fds)?;
        for ((index, fd, write), polled) in asked.iter().zip(&fds) {
            if let Some(event) = found.get_mut(*index) {
                *event = happened(*fd, *write, polled.revents());
            }
        }
        let interest = |(_, fd, write): &(_, BorrowedFd<'_>, bool)| Interest {
            fd: fd.as_raw_fd(),
            read: !write,
            write: *write,
        };
        Ok(asked.iter().map(interest).collect())
    }

    /// Fires the clocks whose time has come; the time until the next one otherwise.
    fn ask_clocks(
        &mut self,
        list: &[Subscription],
        found: &mut [Option<Event>],
    ) -> Result<Option<Duration>, Errno> {
        let mut nearest: Option<u64> = None;
        for subscription in list {
            if let Want::Time { clock, at } = subscription.want {
                let left = at.saturating_sub(self.now(clock)?);
                nearest = Some(nearest.map_or(left, |n| n.min(left)));
            }
        }
        let Some(nearest) = nearest else { return Ok(None) };
        let nothing = found.iter().all(Option::is_none);
        if nothing && matches!(self.template.clocks, ClockSource::Virtual { .. }) {
            // Virtual time passes when everybody waits.
            self.elapsed = self.elapsed.saturating_add(nearest);
        }
        for (subscription, event) in list.iter().zip(found.iter_mut()) {
            if let Want::Time { clock, at } = subscription.want
                && self.now(clock)? >= at
            {
                *event = Some((Errno::Success, 0, 0));
            }
        }
        Ok(Some(Duration::from_nanos(nearest)))
    }
}

fn happened(fd: BorrowedFd<'_>, write: bool, events: PollFlags) -> Option<Event> {
    if events.is_empty() {
        return None;
    }
    if events.contains(PollFlags::NVAL) {
        return Some((Errno::Badf, 0, 0));
    }
    let nbytes = if write { 0 } else { ioctl_fionread(fd).unwrap_or(0) };
    let gone = events.intersects(PollFlags::HUP | PollFlags::ERR);
    let flags = if gone { value::EVENTRWFLAGS_HANGUP } else { 0 };
    Some((Errno::Success, nbytes, flags))
}

fn poll_now(fds: &mut [PollFd<'_>]) -> Result<(), Errno> {
    loop {
        match poll(fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Err(Host::INTR) => {}
            other => return Ok(other.map(drop)?),
        }
    }
}

/// Waits in place of the embedder, in contexts that may.
pub(crate) fn block(wait: &Wait, ctx: &Context) -> Result<(), Errno> {
    if wait.ready.is_empty() && wait.timeout.is_none() {
        // Nothing that could be waited for here: a callback has nothing yet.
        return Err(Errno::Again);
    }
    let wanted = |interest: &Interest| match interest.write {
        true => PollFlags::OUT,
        false => PollFlags::IN,
    };
    // The numbers in `wait` are of entries of this context.
    let mut fds = Vec::new();
    fds.try_reserve_exact(wait.ready.len()).map_err(|_| Errno::Nomem)?;
    for interest in &wait.ready {
        let host = ctx.host_descriptor(interest.fd).ok_or(Errno::Badf)?;
        fds.push(PollFd::from_borrowed_fd(host, wanted(interest)));
    }
    let timeout = wait.timeout.map(|time| Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    });
    match poll(&mut fds, timeout.as_ref()) {
        // Who waits asks again in any case.
        Ok(_) | Err(Host::INTR) => Ok(()),
        Err(other) => Err(other.into()),
    }
}
