//! A real nginx with our module, in a folder of its own, on a socket in it.

use crate::common::client::{file, library, out, own, root, run};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// Builds the module against the library that belongs to this test.
fn module(asan: bool) -> PathBuf {
    static PLAIN: OnceLock<PathBuf> = OnceLock::new();
    static ASAN: OnceLock<PathBuf> = OnceLock::new();
    let (place, name) = if asan { (&ASAN, "nginx-asan") } else { (&PLAIN, "nginx") };
    place
        .get_or_init(|| {
            let so = out().join(format!("{name}.so"));
            let mut build = Command::new(root().join("nginx-module/build"));
            build.env("LUCET_INCLUDE", root().join("include")).env("LUCET_LIB", library());
            build.env("LUCET_BUILD", out().join(name)).env("LUCET_OUT", &so);
            if asan {
                build.env("LUCET_ASAN", "1");
            }
            run(&mut build);
            so
        })
        .clone()
}

/// Compiles one of `tests/server/plugins` to wasm.
pub fn wasm(name: &str) -> Vec<u8> {
    let made = own(&out().join(format!("plugin-{name}.wasm")));
    run(Command::new("clang")
        .args(["--target=wasm32", "-O2", "-nostdlib", "-Wall", "-Wextra", "-Werror"])
        .args(["-Wl,--no-entry", "-o"])
        .arg(&made)
        .arg(root().join("tests/server/plugins").join(name).with_extension("c")));
    let bytes = std::fs::read(&made).unwrap();
    std::fs::remove_file(made).unwrap();
    bytes
}

/// An artifact of one of `tests/server/plugins`.
pub fn plugin(name: &str) -> PathBuf {
    let bytes = lucetc::compile(&wasm(name), &lucetc::Options::default()).unwrap();
    file(&format!("plugin-{name}.so"), bytes)
}

/// What to start.
pub struct Setup {
    /// In the block `lucet`.
    pub modules: String,
    /// In the block `http`.
    pub http: String,
    /// In the block `server`.
    pub server: String,
    pub asan: bool,
    /// Whether the master leaves the process that started it, which upgrades ask for.
    pub daemon: bool,
}

impl Setup {
    /// These plugins, unsigned, and what stands in the block `server`.
    pub fn new(plugins: &[&str], server: &str) -> Self {
        let mut modules = "allow_unsigned on;\n".to_owned();
        for name in plugins {
            writeln!(modules, "module {name} {};", plugin(name).display()).unwrap();
        }
        let (http, server) = (String::new(), server.to_owned());
        Self { modules, http, server, asan: false, daemon: false }
    }

    pub fn http(mut self, text: &str) -> Self {
        self.http.push_str(text);
        self
    }

    fn write(&self, dir: &Path) {
        let nobody = if nix_is_root() { "user root;" } else { "" };
        let text = format!(
            "load_module {module};\n{nobody}\ndaemon {daemon};\nworker_processes 1;\n\
             pid nginx.pid;\n\
             error_log error.log info;\nevents {{ worker_connections 1024; }}\nhttp {{\n\
             log_format plugins '$status|$request_uri|$lucet_outcome|$lucet_trap|$lucet_time|\
             $lucet_memory';\naccess_log access.log plugins;\n\
             client_body_temp_path t1;\nproxy_temp_path t2;\nfastcgi_temp_path t3;\n\
             uwsgi_temp_path t4;\nscgi_temp_path t5;\nkeepalive_requests 10000000;\n\
             lucet {{\n{modules}}}\n{http}\nserver {{\n\
             listen unix:{dir}/socket;\n{server}\n}}\n}}\n",
            daemon = if self.daemon { "on" } else { "off" },
            module = module(self.asan).display(),
            modules = self.modules,
            http = self.http.replace("DIR", &dir.display().to_string()),
            server = self.server.replace("DIR", &dir.display().to_string()),
            dir = dir.display(),
        );
        std::fs::write(dir.join("nginx.conf"), text).unwrap();
    }

    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(dir).args(["-c", "nginx.conf", "-e", "stderr"]);
        if self.asan {
            let name = Command::new("gcc").arg("-print-file-name=libasan.so").output().unwrap();
            let name = String::from_utf8(name.stdout).unwrap();
            command.env("LD_PRELOAD", name.trim()).env(
                "ASAN_OPTIONS",
                "handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0:\
                 allow_user_segv_handler=1:use_sigaltstack=0:detect_leaks=0",
            );
        }
        command
    }

    /// What `nginx -t` says of it.
    pub fn test(&self) -> Output {
        let dir = folder();
        self.write(&dir);
        let output = self.command(&dir).arg("-t").output().unwrap();
        std::fs::remove_dir_all(dir).unwrap();
        output
    }

    pub fn start(self) -> Nginx {
        let dir = folder();
        self.write(&dir);
        let said = std::fs::File::create(dir.join("stderr.log")).unwrap();
        let child = self.command(&dir).stderr(said).spawn().expect("nginx is needed: make deps");
        let nginx = Nginx { dir, child, setup: self };
        nginx.wait("nginx to listen", || UnixStream::connect(nginx.socket()).is_ok());
        nginx.wait("a worker", || !nginx.workers().is_empty());
        nginx
    }
}

fn nix_is_root() -> bool {
    // SAFETY: reads a number.
    unsafe { libc::geteuid() == 0 }
}

fn folder() -> PathBuf {
    // Names of sockets are short.
    let dir = own(&std::env::temp_dir().join("lucet-nginx"));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// One that runs.
pub struct Nginx {
    pub dir: PathBuf,
    child: Child,
    setup: Setup,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.signal(libc::SIGTERM);
        let begun = Instant::now();
        let master = PathBuf::from(format!("/proc/{}", self.master()));
        while self.child.try_wait().is_ok_and(|s| s.is_none()) || master.exists() {
            if begun.elapsed() > PATIENCE {
                self.signal(libc::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log("error.log"));
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u32,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|l| l.split_once(": "));
        lines.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }
}

/// A connection that is kept, or made anew when the server closed it: it does so after some errors.
pub struct Connection {
    stream: BufReader<UnixStream>,
    socket: PathBuf,
    closed: bool,
}

impl Connection {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if std::mem::take(&mut self.closed) {
            *self = dial(&self.socket);
        }
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request without a body.
    pub fn ask(&mut self, line: &str, headers: &str) {
        self.send(format!("{line} HTTP/1.1\r\nHost: test\r\n{headers}\r\n"));
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "");
        self.answer()
    }

    /// The one request of a connection.
    pub fn get_once(&mut self, path: &str) -> Option<Answer> {
        self.ask(&format!("GET {path}"), "Connection: close\r\n");
        self.try_answer(true)
    }

    pub fn answer(&mut self) -> Answer {
        self.try_answer(true).unwrap()
    }

    /// The next answer; `None` if the connection ends before it.
    pub fn try_answer(&mut self, has_body: bool) -> Option<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        self.closed = answer.header("Connection") == Some("close");
        if !has_body || status == 204 || status == 304 {
            return Some(answer);
        }
        if answer.header("Transfer-Encoding").is_some() {
            loop {
                let mut line = String::new();
                self.stream.read_line(&mut line).ok()?;
                let len = usize::from_str_radix(line.trim(), 16).unwrap();
                let mut chunk = vec![0; len + 2];
                self.stream.read_exact(&mut chunk).ok()?;
                answer.body.extend_from_slice(&chunk[..len]);
                if len == 0 {
                    return Some(answer);
                }
            }
        }
        let len = answer.header("Content-Length").expect("a length").parse().unwrap();
        answer.body = vec![0; len];
        self.stream.read_exact(&mut answer.body).ok()?;
        Some(answer)
    }
}

/// A connection to this socket.
pub fn dial(socket: &Path) -> Connection {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Connection { stream: BufReader::new(stream), socket: socket.to_owned(), closed: false }
}

impl Nginx {
    pub fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    pub fn connect(&self) -> Connection {
        dial(&self.socket())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.connect().get(path)
    }

    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    /// Waits for a line in a log with these words.
    pub fn logged(&self, name: &str, words: &str) -> String {
        self.wait(&format!("{words:?} in {name}"), || self.log(name).contains(words));
        self.log(name).lines().find(|l| l.contains(words)).unwrap().to_owned()
    }

    #[track_caller]
    pub fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !done() {
            let logs = self.log("error.log") + &self.log("access.log") + &self.log("stderr.log");
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}:\n{logs}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn master(&self) -> u32 {
        let text = self.log("nginx.pid");
        text.trim().parse().unwrap_or(self.child.id())
    }

    /// Processes whose parent is the master.
    pub fn workers(&self) -> Vec<u32> {
        let pid = self.master();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().map(|p| p.parse().unwrap()).collect()
    }

    pub fn signal(&self, signal: i32) {
        let pid = libc::pid_t::try_from(self.master()).unwrap();
        // SAFETY: a process that we started.
        unsafe { libc::kill(pid, signal) };
    }

    /// Writes the configuration anew.
    pub fn configure(&mut self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.setup);
        self.setup.write(&self.dir);
    }

    /// Kilobytes that a worker has in memory.
    pub fn resident(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.workers()[0])).unwrap();
        let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}
