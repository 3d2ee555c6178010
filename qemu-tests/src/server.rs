//! Knows a web server on the build machine's loopback: a real nginx that serves a folder, and tells what it was asked.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::failure::{Failure, Result, Step};
use crate::host;

/// The build machine's loopback, as a guest sees it.
pub const HOST: &str = "10.0.2.2";

/// An nginx. Dropping it ends it.
pub struct Server {
    folder: PathBuf,
    port: u16,
    child: Option<(Child, BufReader<ChildStderr>)>,
}

impl Server {
    /// Serves `folder/www` on a port that nobody has. Below `/slow/` stands the same at 1 MB a second, below `/whole/` without ranges.
    ///
    /// # Errors
    /// When nginx is missing.
    pub fn start(folder: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").step(|| "nginx: find a port".into())?;
        let port = listener.local_addr().step(|| "nginx: find a port".into())?.port();
        fs::create_dir_all(folder.join("www")).step(|| format!("create {}", folder.display()))?;
        drop(listener);
        let mut server = Self { folder: folder.to_owned(), port, child: None };
        server.restart()?;
        Ok(server)
    }

    /// Its address for a guest, with a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{HOST}:{}/", self.port)
    }

    /// Where the files that it serves are.
    pub fn www(&self) -> PathBuf {
        self.folder.join("www")
    }

    /// Ends it: connections break, and new ones are refused.
    pub fn stop(&mut self) {
        if let Some((mut child, _)) = self.child.take() {
            // Both fail only when it has ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Starts it again on its port; it listens when this returns.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result {
        self.stop();
        let folder = self.folder.display().to_string();
        let conf = format!("{folder}/conf");
        fs::write(&conf, self.conf()).step(|| format!("write {conf}"))?;
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "nginx", "-p", &folder, "-c", &conf, "-e", "stderr"])
            .env("PATH", host::search_path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .step(|| "nginx: cannot start (is it installed? `tools/deps`)".into())?;
        let stderr = child.stderr.take().ok_or_else(|| Failure::new("nginx: no standard error"))?;
        let (_, voice) = self.child.insert((child, BufReader::new(stderr)));
        let mut said = String::new();
        // It says so once its sockets listen.
        while !said.contains("event method") {
            let len = voice.read_line(&mut said).step(|| "nginx: read".into())?;
            if len == 0 {
                return Err(Failure::new(format!("nginx ended: {}", said.trim())));
            }
        }
        Ok(())
    }

    /// What it was asked and how it answered, a line each: `GET /latest.json 200 312 "-"`, with the body's bytes that went out and the
    /// range that was asked for.
    ///
    /// # Errors
    /// When there is no log.
    pub fn asked(&self) -> Result<String> {
        let log = self.folder.join("access.log");
        fs::read_to_string(&log).step(|| format!("read {}", log.display()))
    }

    /// The bytes that went out of this file, an entry for each answer.
    ///
    /// # Errors
    /// When there is no log.
    pub fn sent(&self, name: &str) -> Result<Vec<u64>> {
        let asked = self.asked()?;
        let answers = asked.lines().filter_map(|line| line.split_once(&format!("/{name} "))?.1.split(' ').nth(1));
        answers.map(|bytes| bytes.parse().step(|| format!("nginx's log: {bytes}"))).collect()
    }

    fn conf(&self) -> String {
        let (folder, port) = (self.folder.display(), self.port);
        let temps = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temps: String = temps.iter().map(|temp| format!("{temp}_temp_path {folder}/{temp};\n")).collect();
        format!(
            "daemon off; master_process off; pid {folder}/pid; error_log stderr notice;\nevents {{}}\nhttp {{\n{temps}\
             log_format told '$request_method $uri $status $body_bytes_sent \"$http_range\"';\naccess_log {folder}/access.log told;\n\
             root {folder}/www;\nserver {{ listen 127.0.0.1:{port};\n\
             location /slow/ {{ alias {folder}/www/; limit_rate 1m; sendfile_max_chunk 64k; }}\n\
             location /whole/ {{ alias {folder}/www/; max_ranges 0; }} }} }}\n"
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
