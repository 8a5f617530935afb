//! An HTTPS server on the loopback interface that answers as a test says, also badly. It ends with the test.

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    pub path: String,
    pub etag: Option<String>,
}

/// An answer.
#[derive(Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Clone)]
enum Body {
    Whole(Vec<u8>),
    /// Says that it is longer than it is.
    CutOff(Vec<u8>),
    /// Neither says its length nor ends the connection properly.
    Unfinished(Vec<u8>),
    /// One byte at a time.
    Dripping(Vec<u8>, Duration),
    /// Zeros without an end, in chunks.
    Endless,
    /// Says that so many bytes will come, and waits.
    Claimed(u64),
    /// Not even a head.
    Silence,
}

impl Reply {
    fn of(status: u16, body: Body) -> Reply {
        Reply { status, headers: Vec::new(), body }
    }

    pub fn good(bytes: &[u8]) -> Reply {
        Reply::of(200, Body::Whole(bytes.to_vec()))
    }

    pub fn status(status: u16) -> Reply {
        Reply::of(status, Body::Whole(Vec::new()))
    }

    pub fn cut_off(bytes: &[u8]) -> Reply {
        Reply::of(200, Body::CutOff(bytes.to_vec()))
    }

    pub fn unfinished(bytes: &[u8]) -> Reply {
        Reply::of(200, Body::Unfinished(bytes.to_vec()))
    }

    pub fn dripping(bytes: &[u8], pause: Duration) -> Reply {
        Reply::of(200, Body::Dripping(bytes.to_vec(), pause))
    }

    pub fn endless() -> Reply {
        Reply::of(200, Body::Endless)
    }

    pub fn claiming(length: u64) -> Reply {
        Reply::of(200, Body::Claimed(length))
    }

    pub fn silence() -> Reply {
        Reply::of(200, Body::Silence)
    }

    pub fn redirect(status: u16, to: &str) -> Reply {
        Reply::status(status).with("Location", to)
    }

    pub fn with(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

type Answers = dyn Fn(&Asked) -> Reply + Send + Sync;

pub struct Server {
    pub address: SocketAddr,
    /// The certificate that vouches for it, PEM.
    pub authority: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<Box<Answers>>>,
    stop: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    pub fn new(answers: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        Server::named("localhost", answers)
    }

    /// One whose certificate is for another name than `localhost`.
    pub fn named(name: &str, answers: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut server = Server {
            address: listener.local_addr().unwrap(),
            authority: made.cert.pem(),
            asked: Arc::default(),
            answers: Arc::new(Mutex::new(Box::new(answers))),
            stop: Arc::default(),
            listening: None,
        };
        let (asked, answers, stop) = (Arc::clone(&server.asked), Arc::clone(&server.answers), Arc::clone(&server.stop));
        let config = Arc::new(config);
        server.listening = Some(thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let talk = Talk { stop: Arc::clone(&stop) };
                // A client that hangs up in the middle is what many tests are about.
                let _ = stream.and_then(|stream| talk.with(stream, &config, &asked, &answers));
            }
        }));
        server
    }

    /// Answers otherwise from now on.
    pub fn answers(&self, answers: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.answers.lock().unwrap() = Box::new(answers);
    }

    pub fn replies(&self, reply: Reply) {
        self.answers(move |_| reply.clone());
    }

    /// What was asked since the last time.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

struct Talk {
    stop: Arc<AtomicBool>,
}

impl Talk {
    fn with(
        &self,
        stream: TcpStream,
        config: &Arc<ServerConfig>,
        asked: &Mutex<Vec<Asked>>,
        answers: &Mutex<Box<Answers>>,
    ) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).map_err(io::Error::other)?;
        let etag =
            head.lines().find_map(|line| line.to_ascii_lowercase().starts_with("if-none-match: ").then(|| &line[15..]));
        let path = head.split(' ').nth(1).unwrap_or_default();
        let question = Asked { path: path.to_owned(), etag: etag.map(str::to_owned) };
        asked.lock().unwrap().push(question.clone());
        let reply = (answers.lock().unwrap())(&question);
        self.send(&mut stream, reply)
    }

    fn send(&self, stream: &mut StreamOwned<ServerConnection, TcpStream>, reply: Reply) -> io::Result<()> {
        let length = match &reply.body {
            Body::Whole(bytes) => format!("Content-Length: {}\r\n", bytes.len()),
            Body::CutOff(bytes) => format!("Content-Length: {}\r\n", bytes.len() + 1000),
            Body::Dripping(bytes, _) => format!("Content-Length: {}\r\n", bytes.len()),
            Body::Claimed(length) => format!("Content-Length: {length}\r\n"),
            Body::Endless => "Transfer-Encoding: chunked\r\n".to_owned(),
            Body::Unfinished(_) => String::new(),
            Body::Silence => {
                self.wait(Duration::from_secs(5));
                return Ok(());
            }
        };
        let mut head = format!("HTTP/1.1 {} Whatever\r\nConnection: close\r\n{length}", reply.status);
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        match reply.body {
            Body::Whole(bytes) => stream.write_all(&bytes)?,
            Body::CutOff(bytes) | Body::Unfinished(bytes) => {
                stream.write_all(&bytes)?;
                return stream.flush();
            }
            Body::Dripping(bytes, pause) => {
                for byte in bytes {
                    stream.write_all(&[byte])?;
                    stream.flush()?;
                    if self.wait(pause) {
                        return Ok(());
                    }
                }
            }
            Body::Endless => {
                let chunk = [b"10000\r\n".as_slice(), &[0; 65536], b"\r\n"].concat();
                while !self.stop.load(Ordering::SeqCst) {
                    stream.write_all(&chunk)?;
                }
            }
            Body::Claimed(_) | Body::Silence => {
                stream.flush()?;
                self.wait(Duration::from_secs(3));
            }
        }
        stream.conn.send_close_notify();
        stream.flush()
    }

    /// Waits in small steps; says whether the test is over.
    fn wait(&self, time: Duration) -> bool {
        let mut left = time;
        while !left.is_zero() && !self.stop.load(Ordering::SeqCst) {
            let step = left.min(Duration::from_millis(50));
            thread::sleep(step);
            left -= step;
        }
        self.stop.load(Ordering::SeqCst)
    }
}
