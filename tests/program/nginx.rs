//! Against a real web server: nginx on the loopback, as this test's own child process. `skipped` where it is missing.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

#[cfg(feature = "minreq")]
use crate::scene::forked;
use crate::scene::skipped;
use embedded_io::Read as _;
use kubesolo_boot::linux::process::Process;
use kubesolo_boot::net::fetch::{Client, Limits};
use kubesolo_core::net::url::Location;

const LIMITS: Limits =
    Limits { head: Duration::from_secs(5), stall: Duration::from_secs(5), small: Duration::from_secs(5) };

/// A folder with an nginx that serves it; both are gone when this is.
pub struct Nginx {
    child: Option<Child>,
    folder: PathBuf,
}

impl Nginx {
    /// A folder of that name, and no server yet; `None` if there is no nginx.
    pub fn folder(name: &str) -> Option<Nginx> {
        if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
            skipped("no nginx");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("kubesolo-nginx-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("www")).unwrap();
        Some(Nginx { child: None, folder })
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().into()
    }

    /// Starts it with these server blocks and waits until the port takes connections.
    pub fn start(&mut self, servers: &str, port: u16) {
        let folder = self.folder.display();
        let mut conf = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{}}\nhttp {{ access_log off; root {folder}/www;\n"
        );
        for temp in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(conf, "{temp}_temp_path {folder}/{temp};").unwrap();
        }
        std::fs::write(self.folder.join("conf"), conf + servers + "}\n").unwrap();
        let arguments = ["-p", &self.path(""), "-c", &self.path("conf"), "-e", &self.path("error.log")];
        let child = Command::new("nginx").args(arguments).spawn().unwrap();
        self.child = Some(child);
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{}", std::fs::read_to_string(self.path("error.log")).unwrap());
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// A port that nobody has.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn client(ca: &str) -> Client<'_> {
    Client {
        limits: LIMITS,
        ca,
        variable: |_| None,
        transport: &Process::BARE,
        #[cfg(feature = "minreq")]
        minreq: forked::process(),
    }
}

#[test]
fn a_transfer_resumes() {
    let Some(mut nginx) = Nginx::folder("resume") else { return };
    let port = free_port();
    let image: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let file = nginx.folder.join("www/image");
    std::fs::write(&file, &image).unwrap();
    nginx.start(&format!("server {{ listen 127.0.0.1:{port}; location /moved {{ return 308 image; }} }}\n"), port);
    let client = client("");
    let location = Location::parse(&format!("http://127.0.0.1:{port}/moved")).unwrap();

    let mut body = client.open(&location, 0).unwrap();
    assert_eq!((body.offset(), body.total()), (0, Some(4_000_000)));
    let mut got = vec![0; 1_500_001];
    body.read_exact(&mut got).unwrap();
    drop(body);

    let mut body = client.open(&location, got.len() as u64).unwrap();
    assert_eq!((body.offset(), body.total()), (1_500_001, Some(4_000_000)));
    let mut buffer = vec![0; 65536];
    loop {
        match body.read(&mut buffer).unwrap() {
            0 => break,
            count => got.extend_from_slice(&buffer[..count]),
        }
    }
    assert!(got == image, "{} bytes", got.len());

    // As far as the file goes, and further: nginx has no part to give.
    for offset in [4_000_000, 5_000_000] {
        assert_eq!(client.open(&location, offset).unwrap().offset(), 0);
    }
    // Whether it is still the same file, only its length and its hash show.
    let mut longer = std::fs::File::options().append(true).open(&file).unwrap();
    longer.write_all(b"!").unwrap();
    let body = client.open(&location, 1_500_001).unwrap();
    assert_eq!((body.offset(), body.total()), (1_500_001, Some(4_000_001)));

    let missing = location.join("/missing").unwrap();
    let error = client.open(&missing, 0).err().unwrap();
    assert!(error.to_string().contains("answers 404"), "{error}");
}

/// Certificates by the real openssl: `CA` signs the servers', `other` nobody's.
#[cfg(feature = "tls")]
fn make_certificates(nginx: &Nginx) -> Option<()> {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(&nginx.folder).output().ok()?;
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        Some(())
    };
    for ca in ["ca", "other"] {
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {ca}.key -out {ca}.pem -days 2 -subj /CN={ca}"
        ))?;
    }
    for (name, host, days) in
        [("right", "localhost", "2"), ("wrong", "elsewhere.example", "2"), ("expired", "localhost", "-1")]
    {
        std::fs::write(nginx.folder.join("san"), format!("subjectAltName=DNS:{host},DNS:updates.invalid\n")).unwrap();
        openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={host}"
        ))?;
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days {days} -extfile san"
        ))?;
    }
    Some(())
}

#[cfg(feature = "tls")]
#[test]
fn https_is_for_servers_that_prove_who_they_are() {
    let Some(mut nginx) = Nginx::folder("tls") else { return };
    if make_certificates(&nginx).is_none() {
        skipped("no openssl");
        return;
    }
    let image: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(nginx.folder.join("www/image"), &image).unwrap();
    let [right, old, wrong, expired, plain] = [(); 5].map(|()| free_port());
    let folder = nginx.folder.display().to_string();
    let mut servers = format!("server {{ listen 127.0.0.1:{plain}; }}\n");
    for (port, name, more) in [
        (right, "right", format!("location /down {{ return 302 http://localhost:{plain}/image; }}")),
        (old, "right", "ssl_protocols TLSv1.2;".to_string()),
        (wrong, "wrong", String::new()),
        (expired, "expired", String::new()),
    ] {
        writeln!(
            servers,
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/{name}.pem; \
             ssl_certificate_key {folder}/{name}.key; {more} }}"
        )
        .unwrap();
    }
    nginx.start(&servers, plain);
    let (ca, other, empty) = (nginx.path("ca.pem"), nginx.path("other.pem"), nginx.path("conf"));
    let at = |host: &str, port: u16| Location::parse(&format!("https://{host}:{port}/image")).unwrap();

    for port in [right, old] {
        let mut buffer = vec![0; 2_000_000];
        let length = client(&ca).fetch_small(&at("localhost", port), &mut buffer).unwrap();
        assert!(buffer[..length] == image, "{length} bytes");
        let mut body = client(&ca).open(&at("localhost", port), 1000).unwrap();
        assert_eq!(body.offset(), 1000);
        let mut rest = vec![0; image.len() - 1000];
        body.read_exact(&mut rest).unwrap();
        assert!(rest == image[1000..]);
        assert_eq!(body.read(&mut [0; 16]), Ok(0));
    }

    let rows: &[(&str, Location, &str, &str)] = &[
        ("wrong host name", at("localhost", wrong), &ca, "certificate is for another host"),
        ("address instead of the name", at("127.0.0.1", right), &ca, "certificate is for another host"),
        ("expired", at("localhost", expired), &ca, "certificate has expired"),
        ("unknown CA", at("localhost", right), &other, "comes from nobody this box trusts"),
        ("CA unknown to the system", at("localhost", right), "", "this box trusts"),
        ("no such CA file", at("localhost", right), "/none.pem", "no certificates to trust in /none.pem"),
        ("CA file without certificates", at("localhost", right), &empty, "no certificates to trust in"),
        ("no TLS there", at("localhost", plain), &ca, "does not speak TLS"),
        ("leads out of TLS", at("localhost", right).join("/down").unwrap(), &ca, "leads from https to http"),
    ];
    for (name, location, ca, want) in rows {
        let error = client(ca).open(location, 0).err().expect(name);
        let system = ca.is_empty() && error.to_string().contains("no certificates to trust in");
        assert!(error.to_string().contains(want) || system, "{name}: {error}");
        assert!(!error.is_transient(), "{name}: {error}");
    }
}

/// A proxy as a plain relay: reads the CONNECT, answers, and hands everything on.
#[cfg(feature = "tls")]
#[test]
fn https_goes_through_a_proxys_tunnel() {
    static PROXY: std::sync::OnceLock<u16> = std::sync::OnceLock::new();
    let Some(mut nginx) = Nginx::folder("tunnel") else { return };
    if make_certificates(&nginx).is_none() {
        skipped("no openssl");
        return;
    }
    std::fs::write(nginx.folder.join("www/image"), "hello").unwrap();
    let port = free_port();
    let folder = nginx.folder.display().to_string();
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/right.pem; ssl_certificate_key {folder}/right.key; }}\n"
    );
    nginx.start(&server, port);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    PROXY.set(listener.local_addr().unwrap().port()).unwrap();
    let relay = thread::spawn(move || {
        use std::io::Read;
        for answer in ["HTTP/1.1 200 Go\r\n\r\n", "HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"] {
            let (mut client, _) = listener.accept().unwrap();
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") {
                client.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let request = String::from_utf8(request).unwrap();
            // No proxy is asked for this box itself.
            let host = format!("updates.invalid:{port}");
            assert_eq!(request, format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            client.write_all(answer.as_bytes()).unwrap();
            if answer.contains("200") {
                let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut from, &mut to));
                std::io::copy(&mut server, &mut client).unwrap_or_default();
            }
        }
    });
    let (ca, location) =
        (nginx.path("ca.pem"), Location::parse(&format!("https://updates.invalid:{port}/image")).unwrap());
    let variable = |name: &str| (name == "https_proxy").then(|| format!("http://127.0.0.1:{}", PROXY.get().unwrap()));
    let client = Client { variable, ..client(&ca) };
    let mut buffer = [0; 16];
    assert_eq!(client.fetch_small(&location, &mut buffer), Ok(5));
    assert_eq!(&buffer[..5], b"hello");
    let error = client.fetch_small(&location, &mut buffer).unwrap_err();
    assert!(error.to_string().contains("the proxy wants a user name"), "{error}");
    relay.join().unwrap();
}
