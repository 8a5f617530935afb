//! The clock: layers one after the other in small turns, all threads in the same layer at the same time.
//! `direct` is a tool on the HSM's module, `backend` the gate's narrow path to it alone, `gate` a tool on the gate.

use super::{
    client::{Client, Wanted},
    parts::parts,
    scene::{ID, Key, SIGNER, Scene},
};
use cryptoki_sys as ck;
use signgate_pkcs11::{
    backend::Hsm,
    config::{PinSource, TokenConfig, TokenSelector},
    gate::{
        token::{SignRequest, SoughtKey, Tokens},
        verify::{Signed, verify},
    },
    policy::{
        algorithm::{Hash, Mechanism},
        public_key::PublicKey,
    },
};
use std::{
    collections::BTreeMap,
    hint::black_box,
    path::Path,
    sync::{
        Arc, Barrier,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How careful the gate is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Every signature verified, every intent on the disk.
    Default,
    /// The first signature verified, durability left to the operating system.
    Fast,
}

impl Durability {
    pub fn name(self) -> &'static str {
        match self {
            Durability::Default => "default",
            Durability::Fast => "fast",
        }
    }
}

/// What stands between the tool and the HSM.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    Direct,
    Backend,
    Gate,
}

pub const LAYERS: [Layer; 3] = [Layer::Direct, Layer::Backend, Layer::Gate];

impl Layer {
    pub const VARIABLE: &str = "SIGNGATE_BENCH_LAYER";

    pub fn name(self) -> &'static str {
        match self {
            Layer::Direct => "direct",
            Layer::Backend => "backend",
            Layer::Gate => "gate",
        }
    }

    pub fn from_environment() -> Layer {
        let name = std::env::var(Layer::VARIABLE).expect("the layer");
        LAYERS.into_iter().find(|layer| layer.name() == name).expect("a layer")
    }
}

/// Set where the tool lists the keys instead of asking for one.
pub const LISTS: &str = "SIGNGATE_BENCH_LISTS";

/// Something that signs the hash VALUE into a buffer.
pub type Sign = Box<dyn FnMut(&mut [u8]) + Send>;

const VALUE: [u8; 32] = [0x3c; 32];

pub struct Subject {
    pub key: PublicKey,
    id: Vec<u8>,
    data: Vec<u8>,
    mechanism: Mechanism,
}

impl Subject {
    fn of(scene: &Scene) -> Subject {
        let rsa = scene.is_rsa();
        Subject {
            key: scene.public_key(),
            id: if scene.key == Key::Backing { vec![1] } else { ID.to_vec() },
            data: if rsa { [Hash::Sha256.digest_info_prefix(), &VALUE].concat() } else { VALUE.to_vec() },
            mechanism: if rsa { Mechanism::RsaPkcs } else { Mechanism::Ecdsa },
        }
    }

    pub fn wanted<'a>(&'a self, label: &'a str, pin: Option<&'a str>) -> Wanted<'a> {
        let lists = std::env::var_os(LISTS).is_some();
        Wanted { label, pin, id: &self.id, lists, mechanism: self.mechanism.number() as ck::CK_MECHANISM_TYPE }
    }

    pub fn check(&self, signature: &[u8]) {
        let signed = Signed::Hash { hash: Hash::Sha256, value: &VALUE };
        verify(&self.key, self.mechanism, None, signed, signature).expect("a signature that verifies");
    }
}

/// Everything from loading the module on, for one layer.
fn open(scene: &Scene, subject: &Arc<Subject>, layer: Layer) -> Sign {
    match layer {
        Layer::Direct => {
            let (label, pin) = (scene.fact("label"), scene.fact("pin"));
            tool(Client::open(Path::new(&scene.fact("module")), &subject.wanted(&label, Some(&pin))), subject)
        }
        Layer::Gate => tool(Client::open(Path::new(&scene.fact("gate")), &subject.wanted(SIGNER, None)), subject),
        Layer::Backend => through(hsm(scene), subject),
    }
}

/// The gate's narrow path, without the gate.
fn hsm(scene: &Scene) -> Arc<Hsm> {
    let access = TokenConfig {
        select: TokenSelector::Label(scene.fact("label")),
        pin: PinSource::File(scene.folder.join("pin")),
    };
    Arc::new(Hsm::new(scene.fact("module").into(), BTreeMap::from([("bench".to_owned(), access)])))
}

pub fn tool(client: Client, subject: &Arc<Subject>) -> Sign {
    let subject = Arc::clone(subject);
    Box::new(move |signature| client.sign(&subject.data, signature))
}

fn through(hsm: Arc<Hsm>, subject: &Arc<Subject>) -> Sign {
    let subject = Arc::clone(subject);
    Box::new(move |signature| {
        let sought = SoughtKey { cka_id: Some(&subject.id), label: "", public_key: &subject.key };
        let request = SignRequest { mechanism: subject.mechanism, pss: None, data: &subject.data };
        let token = hsm.token("bench").expect("the token");
        black_box(token.sign(&sought, &request, signature).expect("a signature"));
    })
}

/// From loading the module to the first signature, once, in nanoseconds.
pub fn cold(scene: &Scene, layer: Layer) {
    let subject = Arc::new(Subject::of(scene));
    let mut signature = vec![0; subject.key.signature_length()];
    let begun = Instant::now();
    open(scene, &subject, layer)(&mut signature);
    let took = begun.elapsed();
    subject.check(&signature);
    println!("{}", took.as_nanos());
}

/// Many signatures in one process, with one thread and with two.
pub fn hot(scene: &Scene) {
    // A file that is younger than two seconds is read again at each signature: that is not what is measured here.
    std::thread::sleep(Duration::from_millis(2100));
    // Signatures per sample (a do-nothing call is too short for the clock), samples per turn, turns.
    let (block, samples, turns) = match scene.key {
        Key::Backing => (200, 10, 60),
        Key::SoftHsm { rsa: true } => (1, 8, 40),
        Key::SoftHsm { rsa: false } => (1, 20, 60),
    };
    let subject = Arc::new(Subject::of(scene));
    let shared = hsm(scene);
    // Opened one after the other: C_Initialize must not be raced.
    let mut threads_layers: Vec<[Sign; 3]> = (0..2)
        .map(|_| {
            LAYERS.map(|layer| match layer {
                Layer::Direct | Layer::Gate => open(scene, &subject, layer),
                Layer::Backend => through(Arc::clone(&shared), &subject),
            })
        })
        .collect();
    for threads in [1, 2] {
        let barrier = Barrier::new(threads);
        let mut per_layer = LAYERS.map(|_| Vec::new());
        std::thread::scope(|scope| {
            let running: Vec<_> = threads_layers
                .iter_mut()
                .take(threads)
                .map(|layers| {
                    let (barrier, subject) = (&barrier, &subject);
                    scope.spawn(move || turn_about(layers, subject, barrier, (block, samples, turns)))
                })
                .collect();
            for thread in running {
                let times = thread.join().expect("a measuring thread");
                for (all, own) in per_layer.iter_mut().zip(times) {
                    all.extend(own);
                }
            }
        });
        report(&scene.name, threads, per_layer);
    }
    let signatures = usize::try_from(block).expect("a few") * samples;
    parts(scene, &subject, &mut threads_layers[0][0], signatures.min(200) * turns);
    rate(&scene.name, &subject, threads_layers);
}

/// Signatures a second of eight threads together, by turns; the median of the turns' ratios.
fn rate(name: &str, subject: &Arc<Subject>, mut layers: Vec<[Sign; 3]>) {
    const THREADS: usize = 8;
    const TURNS: usize = 7;
    let scene = Scene::from_environment();
    while layers.len() < THREADS {
        // The gate's narrow path alone is not measured here.
        layers.push([open(&scene, subject, Layer::Direct), Box::new(|_| ()), open(&scene, subject, Layer::Gate)]);
    }
    let mut one = |layer: usize| {
        let begun = Instant::now();
        let count = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for signs in &mut layers {
                let (count, sign) = (&count, &mut signs[layer]);
                scope.spawn(move || {
                    let mut signature = vec![0; subject.key.signature_length()];
                    while begun.elapsed() < Duration::from_millis(700) {
                        sign(black_box(&mut signature));
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        count.into_inner() as f64 / begun.elapsed().as_secs_f64()
    };
    let mut turns: Vec<(f64, f64, f64)> = (0..TURNS)
        .map(|_| {
            let (direct, gate) = (one(0), one(2));
            (gate / direct, direct, gate)
        })
        .collect();
    turns.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ratio, direct, gate) = turns[TURNS / 2];
    println!("{name:<34} {THREADS:>8} direct {direct:>8.0} a second, gate {gate:.0}: {ratio:.2} of the direct rate");
}

fn turn_about(
    layers: &mut [Sign; 3],
    subject: &Subject,
    barrier: &Barrier,
    (block, samples, turns): (u32, usize, usize),
) -> [Vec<u64>; 3] {
    let mut signature = vec![0; subject.key.signature_length()];
    let mut times = LAYERS.map(|_| Vec::with_capacity(samples * turns));
    for turn in 0..=turns {
        for (sign, times) in layers.iter_mut().zip(&mut times) {
            barrier.wait();
            for _ in 0..samples {
                let begun = Instant::now();
                for _ in 0..block {
                    sign(black_box(&mut signature));
                }
                let took = begun.elapsed() / block;
                // The first turn opens sessions and fills caches.
                if turn > 0 {
                    times.push(u64::try_from(took.as_nanos()).expect("a short time"));
                }
            }
            subject.check(&signature);
            signature.fill(0);
        }
    }
    times
}

fn report(name: &str, threads: usize, per_layer: [Vec<u64>; 3]) {
    let mut direct = 0;
    for (layer, mut times) in LAYERS.into_iter().zip(per_layer) {
        times.sort_unstable();
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        if layer == Layer::Direct {
            direct = p50;
        }
        let ratio = p50 as f64 / direct.max(1) as f64;
        let added = p50 as i64 - direct as i64;
        println!("{name:<34} {threads:>8} {:<8} {p50:>12} {p99:>12} {ratio:>7.2} {added:>12}", layer.name());
    }
}
