//! `--report FILE.html` in a browser: it is shown in each theme, on a narrow screen and on paper, and loads nothing.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use crate::support::*;

const CHROMIUM: &str = "/usr/bin/chromium";

/// A name that would change a page which does not escape it.
const HOSTILE: &str =
    "</title><script src=x.js></script><img src=x onerror=alert(1)>\"'& \u{202e}gpj.\u{1b}[2J\u{200f}";

/// Chromium without a window, with a profile of its own.
struct Browser {
    profile: TempDir,
}

impl Browser {
    /// Returns None, and reports it, where there is no Chromium.
    fn new() -> Option<Browser> {
        if !Path::new(CHROMIUM).exists() {
            skip!("{CHROMIUM} is not installed");
        }
        Some(Browser { profile: scratch() })
    }

    /// Opens a page. The log on standard error has what the page's policy forbade.
    fn open(&self, options: &[&str], url: &str) -> Run {
        let mut command = Command::new(CHROMIUM);
        // Without its sandbox it also runs as root, and in a container.
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]);
        command.args(["--disable-background-networking", "--no-proxy-server", "--enable-logging=stderr"]);
        command.arg(format!("--user-data-dir={}", self.profile.path().display()));
        command.env("HOME", self.profile.path());
        command.args(options).arg(url);
        run(command).exits(0)
    }

    /// Opens a file, and asserts that the browser has nothing to report about it.
    fn show(&self, options: &[&str], page: &Path) -> Run {
        let shown = self.open(options, &format!("file://{}", page.display()));
        assert_eq!(console(&shown), [""; 0]);
        shown
    }

    fn screenshot(&self, page: &Path, width: u32, options: &[&str]) -> Picture {
        let file = self.profile.path().join("page.png");
        let size = format!("--window-size={width},1200");
        let to = format!("--screenshot={}", file.display());
        self.show(&[options, &["--hide-scrollbars", &size, &to]].concat(), page);
        Picture::of(&fs::read(file).unwrap())
    }
}

/// Returns the lines of the log that are about the page.
fn console(run: &Run) -> Vec<&str> {
    // The browser's own pages are not the page.
    let is_own = |line: &str| line.contains("source: chrome");
    run.stderr.lines().filter(|line| line.contains("CONSOLE") && !is_own(line)).collect()
}

/// The pixels of a screenshot.
struct Picture {
    width: usize,
    height: usize,
    /// Red, green and blue of each pixel.
    pixels: Vec<u8>,
}

impl Picture {
    /// Decodes a PNG of 8 bits per channel without transparency, as Chromium writes it.
    fn of(png: &[u8]) -> Picture {
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
        let (width, height) = (number(16), number(20));
        assert_eq!(png[24..29], [8, 2, 0, 0, 0], "8 bits, red, green and blue, not interlaced");
        let (mut at, mut packed) = (8, Vec::new());
        while at < png.len() {
            let (size, data) = (number(at), at + 8);
            if &png[at + 4..data] == b"IDAT" {
                packed.extend_from_slice(&png[data..data + size]);
            }
            at = data + size + 4;
        }
        let mut lines = Vec::new();
        flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut lines).unwrap();
        let row = width * 3;
        let mut pixels = vec![0; row * height];
        for (y, line) in lines.chunks_exact(row + 1).enumerate() {
            for x in 0..row {
                let left = if x < 3 { 0 } else { pixels[y * row + x - 3] };
                let above = if y == 0 { 0 } else { pixels[(y - 1) * row + x] };
                let corner = if x < 3 || y == 0 { 0 } else { pixels[(y - 1) * row + x - 3] };
                pixels[y * row + x] = line[x + 1].wrapping_add(match line[0] {
                    0 => 0,
                    1 => left,
                    2 => above,
                    3 => (u16::from(left) + u16::from(above)).div_euclid(2) as u8,
                    _ => paeth(left, above, corner),
                });
            }
        }
        Picture { width, height, pixels }
    }

    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        self.pixels[at..at + 3].try_into().unwrap()
    }

    /// Reports whether nothing is shown at the left and the right edge.
    fn has_empty_margins(&self) -> bool {
        let ground = self.pixel(0, 0);
        let edges = (0..8).chain(self.width - 8..self.width);
        edges.into_iter().all(|x| (0..self.height).all(|y| self.pixel(x, y) == ground))
    }

    /// Counts the pixels that are not background.
    fn drawn(&self) -> usize {
        let ground = self.pixel(0, 0);
        self.pixels.chunks_exact(3).filter(|pixel| *pixel != ground).count()
    }
}

/// Returns the neighbour that is nearest to what PNG's filter of that name predicts.
fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, above, corner].map(i32::from);
    let predicted = a + b - c;
    let far = |value: i32| (predicted - value).abs();
    match () {
        () if far(a) <= far(b) && far(a) <= far(c) => left,
        () if far(b) <= far(c) => above,
        () => corner,
    }
}

/// Converts a tree whose names and mail are hostile, and returns the page about it.
fn hostile_page(root: &Path) -> PathBuf {
    let source = root.join("Mail");
    let folder = source.join(HOSTILE.replace('/', ":"));
    fs::create_dir_all(&folder).unwrap();
    let message = |n: u32| {
        format!(
            "From ada@example.org Mon Mar  2 08:00:{:02} {}\nFrom: \"{HOSTILE}\" <ada@example.org>\n\
             Subject: {HOSTILE}\n\nFrom {HOSTILE} here on\nFrom x\n\n",
            n % 60,
            1998 + n
        )
    };
    let mbox: String = (0..25).map(message).collect();
    fs::write(source.join("inbox"), &mbox).unwrap();
    fs::write(folder.join("sent"), format!("{HOSTILE}\n\n{mbox}")).unwrap();
    let page = root.join("page.html");
    let mut command = mailferry(["convert", "--report"]);
    command.arg(&page).arg(&source).arg(root.join("Maildir"));
    run(command).exits(1);
    page
}

#[test]
fn a_page_is_shown_in_each_theme_and_on_a_narrow_screen() {
    let Some(browser) = Browser::new() else { return };
    let root = scratch();
    let page = hostile_page(root.path());
    let light = browser.screenshot(&page, 1000, &["--blink-settings=preferredColorScheme=1"]);
    let dark = browser.screenshot(&page, 1000, &["--blink-settings=preferredColorScheme=0"]);
    let narrow = browser.screenshot(&page, 360, &[]);
    assert_eq!(light.pixel(0, 0), [0xff; 3]);
    assert_eq!(dark.pixel(0, 0), [0x14, 0x17, 0x1b]);
    assert_eq!([light.width, dark.width, narrow.width], [1000, 1000, 360]);
    for picture in [light, dark, narrow] {
        assert!(picture.has_empty_margins());
        assert!(picture.drawn() > 20_000, "{}", picture.drawn());
    }
}

#[test]
fn a_page_is_printed_on_a4() {
    let Some(browser) = Browser::new() else { return };
    let root = scratch();
    let page = hostile_page(root.path());
    let file = root.path().join("page.pdf");
    browser.show(&["--no-pdf-header-footer", &format!("--print-to-pdf={}", file.display())], &page);
    let pdf = fs::read(file).unwrap();
    let text = String::from_utf8_lossy(&pdf);
    let sheets: Vec<&str> =
        text.split("/MediaBox [").skip(1).filter_map(|rest| rest.split(']').next()).collect();
    assert!(text.starts_with("%PDF-") && !sheets.is_empty());
    for sheet in sheets {
        let sides: Vec<f64> = sheet.split_whitespace().map(|side| side.parse().unwrap()).collect();
        // A4 is 210 by 297 mm; a point is 1/72 inch.
        assert!((sides[2] - 595.3).abs() < 1.5 && (sides[3] - 841.9).abs() < 1.5, "{sheet}");
    }
}

#[test]
fn nothing_in_hostile_mail_becomes_a_part_of_the_page() {
    let Some(browser) = Browser::new() else { return };
    let root = scratch();
    let page = hostile_page(root.path());
    let dom = browser.show(&["--dump-dom"], &page).text();
    for element in ["<script", "<img", "onerror=\"", "<iframe", "<link"] {
        assert!(!dom.contains(element), "{element}: {dom}");
    }
    assert_eq!(dom.matches("<title>Conversion report").count(), 1);
    assert!(dom.contains("&lt;script src=x.js&gt;"));
    assert!(dom.contains("gpj.\\u{1b}[2J<span class=\"hidden\">‹U+200F›</span>"), "{dom}");
    assert!(!dom.contains(['\u{202e}', '\u{1b}', '\u{200f}']));
}

/// A web server with one page. It records what is requested.
struct Server {
    address: SocketAddr,
    requests: thread::JoinHandle<Vec<String>>,
}

impl Server {
    fn new(page: String) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move || {
            let mut requests = Vec::new();
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let mut lines = BufReader::new(client.try_clone().unwrap()).lines().map_while(Result::ok);
                let Some(request) = lines.next() else { continue };
                if request == "stop" {
                    break;
                }
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                requests.push(request);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
                let answer = format!("{head}Content-Length: {}\r\n\r\n{page}", page.len());
                // The browser may have gone.
                let _ = client.write_all(answer.as_bytes());
            }
            requests
        };
        Server { address, requests: thread::spawn(serve) }
    }

    /// Stops the server, and returns the requests, without those for the picture of a tab.
    fn requests(self) -> Vec<String> {
        TcpStream::connect(self.address).unwrap().write_all(b"stop\n").unwrap();
        let requests = self.requests.join().unwrap();
        requests.into_iter().filter(|request| !request.contains("favicon.ico")).collect()
    }
}

#[test]
fn a_page_requests_nothing_and_its_policy_would_prevent_it() {
    let Some(browser) = Browser::new() else { return };
    let root = scratch();
    let page = fs::read_to_string(hostile_page(root.path())).unwrap();
    let show = |page: String| {
        let server = Server::new(page);
        let shown = browser.open(&["--dump-dom"], &format!("http://{}/page.html", server.address));
        (server.requests(), console(&shown).join("\n"))
    };
    let only = ["GET /page.html HTTP/1.1"];
    let (requests, log) = show(page.clone());
    assert_eq!((&requests[..], &log[..]), (&only.map(str::to_owned)[..], ""));
    // If a tag came through, the policy would stop it.
    let planted =
        page.replace("</main>", "<img src=x.png><script src=x.js></script><p style=\"color: red\"></main>");
    let (requests, log) = show(planted.clone());
    assert_eq!(requests, only);
    for part in ["x.png", "x.js", "inline style"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    // Without the policy the server would see it.
    let (requests, _) = show(planted.replace("Content-Security-Policy", "x"));
    for path in ["/x.png", "/x.js"] {
        assert!(requests.iter().any(|request| request.contains(path)), "{path}: {requests:?}");
    }
}
