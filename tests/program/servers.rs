//! Downloads from real servers that give nothing to resume by, or much that is odd, and by a real proxy. Each is a child process on the
//! loopback; `skipped` where its program is missing.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use embedded_io::Read as _;
use kubesolo_boot::linux::process::Process;
use kubesolo_boot::net::fetch::{Client, Limits};
use kubesolo_core::net::url::Location;

#[cfg(feature = "minreq")]
use crate::scene::forked;
use crate::scene::skipped;

/// Longer than any answer takes, however busy the machine is.
const PATIENT: Duration = Duration::from_secs(60);

struct Server {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Starts `program` in a folder of its own that has `www/image.gz`; `{port}` and `{folder}` in the words and in the file `conf` are filled in.
fn start(program: &str, words: &[&str], conf: &str, image: &[u8]) -> Option<Server> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = std::env::temp_dir().join(format!("kubesolo-{}-{}-{port}", name_of(program), std::process::id()));
    fs::create_dir_all(folder.join("www")).unwrap();
    fs::write(folder.join("www/image.gz"), image).unwrap();
    let filled = |text: &str| text.replace("{port}", &port.to_string()).replace("{folder}", folder.to_str().unwrap());
    fs::write(folder.join("conf"), filled(conf)).unwrap();
    let quiet = || fs::File::create(folder.join("log")).unwrap();
    let started = Command::new(program)
        .args(words.iter().map(|word| filled(word)))
        .current_dir(folder.join("www"))
        .stdin(Stdio::null())
        .stdout(quiet())
        .stderr(quiet())
        .spawn();
    let Ok(child) = started else {
        skipped(&format!("no {}", name_of(program)));
        fs::remove_dir_all(&folder).unwrap();
        return None;
    };
    let mut server = Server { child, folder, port };
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let log = || fs::read_to_string(server.folder.join("log")).unwrap_or_default();
        assert!(began.elapsed() < PATIENT, "{program}: {}", log());
        assert!(server.child.try_wait().unwrap().is_none(), "{program}: {}", log());
        thread::sleep(Duration::from_millis(50));
    }
    Some(server)
}

fn name_of(program: &str) -> &str {
    Path::new(program).file_name().unwrap().to_str().unwrap()
}

fn client() -> Client<'static> {
    Client {
        limits: Limits { head: PATIENT, stall: PATIENT, small: PATIENT },
        ca: "",
        variable: |_| None,
        transport: &Process::BARE,
        #[cfg(feature = "minreq")]
        minreq: forked::process(),
    }
}

const APACHE: &str =
    "ServerRoot {folder}\nPidFile {folder}/pid\nListen 127.0.0.1:{port}\nServerName localhost\nErrorLog {folder}/error
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
TypesConfig /dev/null\nDocumentRoot {folder}/www\nAddEncoding x-gzip .gz\n";

const NGINX: &str = "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error; events {}
http { access_log off; etag off; root {folder}/www; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
server { listen 127.0.0.1:{port}; MORE } }\n";

/// Server, what is odd about it, its words and settings, and whether it gives parts.
type Row = (&'static str, &'static str, &'static [&'static str], String, bool);

fn rows() -> Vec<Row> {
    let nginx: &[&str] = &["-p", "{folder}", "-c", "{folder}/conf", "-e", "{folder}/error"];
    let server = |more: &str| NGINX.replace("MORE", more);
    vec![
        ("/usr/sbin/nginx", "no ETag", nginx, server(""), true),
        ("/usr/sbin/nginx", "no ETag, no date", nginx, server("add_header Last-Modified \"\";"), true),
        ("/usr/sbin/nginx", "no ranges", nginx, server("max_ranges 0;"), false),
        ("/usr/sbin/nginx", "403 to ranges", nginx, server("if ($http_range) { return 403; }"), false),
        ("/usr/sbin/nginx", "501 to ranges", nginx, server("if ($http_range) { return 501; }"), false),
        (
            "/usr/sbin/apache2",
            "Content-Encoding",
            &["-X", "-d", "{folder}", "-f", "{folder}/conf"],
            APACHE.into(),
            true,
        ),
        (
            "/usr/sbin/lighttpd",
            "no MIME types",
            &["-D", "-f", "{folder}/conf"],
            "server.document-root = \"{folder}/www\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n".into(),
            true,
        ),
        (
            "/usr/bin/python3",
            "HTTP/1.0, no ranges",
            &["-m", "http.server", "--bind", "127.0.0.1", "{port}"],
            String::new(),
            false,
        ),
    ]
}

#[test]
fn any_server_gives_the_file_and_where_it_can_the_rest_of_it() {
    let image: Vec<u8> = (0..250_000_u32).flat_map(u32::to_le_bytes).collect();
    let offset: usize = 400_001;
    for (program, odd, words, conf, gives_parts) in rows() {
        let Some(server) = start(program, words, &conf, &image) else { continue };
        let location = Location::parse(&format!("http://127.0.0.1:{}/image.gz", server.port)).unwrap();
        for from in [0, offset] {
            let mut body =
                client().open(&location, from as u64).unwrap_or_else(|error| panic!("{program}: {odd}: {error}"));
            let expected = if gives_parts { from } else { 0 };
            assert_eq!((body.offset(), body.total()), (expected as u64, Some(image.len() as u64)), "{program}: {odd}");
            let (mut got, mut buffer) = (Vec::new(), vec![0; 65536]);
            loop {
                match body.read(&mut buffer).unwrap_or_else(|error| panic!("{program}: {odd}: {error}")) {
                    0 => break,
                    count => got.extend_from_slice(&buffer[..count]),
                }
            }
            assert!(got == image[expected..], "{program}: {odd}: {} bytes", got.len());
        }
        let beyond = client().open(&location, 5_000_000).unwrap();
        assert_eq!((beyond.offset(), beyond.total()), (0, Some(image.len() as u64)), "{program}: {odd}");
        let deadline = Instant::now().checked_add(PATIENT);
        client().answers(&location, deadline).unwrap_or_else(|error| panic!("{program}: {odd}: {error}"));
    }
}

/// By a proxy that looks the name up itself: the file is another machine's as far as this side knows.
#[test]
fn a_download_goes_on_by_a_proxy() {
    static PROXY: std::sync::OnceLock<u16> = std::sync::OnceLock::new();
    #[cfg(feature = "minreq")]
    if forked::process().is_some() {
        return; // A gap: see fetch.rs.
    }
    let image: Vec<u8> = (0..250_000_u32).flat_map(u32::to_le_bytes).collect();
    let nginx: &[&str] = &["-p", "{folder}", "-c", "{folder}/conf", "-e", "{folder}/error"];
    let Some(server) = start("/usr/sbin/nginx", nginx, &NGINX.replace("MORE", ""), &image) else { return };
    let settings = format!(
        "Port {{port}}\nListen 127.0.0.1\nTimeout 600\nMaxClients 20\nupstream http 127.0.0.1:{} \"updates.invalid\"\n",
        server.port
    );
    // It asks the one upstream it has, as if that were a proxy too.
    let Some(proxy) = start("/usr/bin/tinyproxy", &["-d", "-c", "{folder}/conf"], &settings, b"") else { return };
    PROXY.set(proxy.port).unwrap();
    let variable = |name: &str| (name == "HTTP_PROXY").then(|| format!("http://127.0.0.1:{}", PROXY.get().unwrap()));
    let client = Client { variable, ..client() };
    let location = Location::parse("http://updates.invalid/image.gz").unwrap();
    for from in [0, 400_001] {
        let mut body = client.open(&location, from as u64).unwrap();
        assert_eq!((body.offset(), body.total()), (from as u64, Some(image.len() as u64)));
        let mut got = vec![0; image.len() - from];
        body.read_exact(&mut got).unwrap();
        assert!(got == image[from..]);
    }
}
