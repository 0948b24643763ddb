//! The docs page in a real browser, over the DevTools protocol: it lists the operations and calls them.
//! <https://chromedevtools.github.io/devtools-protocol/>

use crate::world::World;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::{path::PathBuf, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

struct Browser {
    process: Child,
    page: WebSocketStream<TcpStream>,
    calls: u64,
    profile: PathBuf,
}

fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders = ["/usr/bin", "/usr/local/bin", "/snap/bin"];
    let all = folders.iter().flat_map(|f| names.iter().map(move |n| PathBuf::from(f).join(n)));
    all.into_iter().find(|p| p.exists())
}

/// The handshake, by hand: RFC 6455, 4.1.
async fn upgraded(address: &str, url: &str) -> WebSocketStream<TcpStream> {
    let path = url.split_once(address).unwrap().1;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    WebSocketStream::from_raw_socket(socket, Role::Client, None).await
}

impl Browser {
    async fn start() -> Option<Browser> {
        let Some(program) = chromium() else {
            println!("skipped: there is no Chromium here");
            return None;
        };
        let profile = std::env::temp_dir().join(format!("jangteo-docs-{}", std::process::id()));
        let mut process = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--no-proxy-server", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, url)) = line.split_once("DevTools listening on ws://") {
                    return url.split('/').next().unwrap().to_owned();
                }
            }
            panic!("the browser ended");
        };
        let address = timeout(Duration::from_secs(30), listening).await.expect("the browser starts");
        let http = crate::world::clients().0;
        let pages: Value = http.get(format!("http://{address}/json/list")).send().await.unwrap().json().await.unwrap();
        let url =
            pages.as_array().unwrap().iter().find(|p| p["type"] == "page").unwrap()["webSocketDebuggerUrl"].clone();
        let page = upgraded(&address, url.as_str().unwrap()).await;
        Some(Browser { process, page, calls: 0, profile })
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let call = json!({"id": self.calls, "method": method, "params": params});
        self.page.send(Message::text(call.to_string())).await.unwrap();
        loop {
            let said = timeout(Duration::from_secs(20), self.page.next()).await.expect("an answer").unwrap().unwrap();
            let Message::Text(text) = said else { continue };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == self.calls {
                return answer["result"].clone();
            }
        }
    }

    /// The value of an expression once it is neither null nor false.
    async fn until(&mut self, expression: &str) -> Value {
        let mut last = Value::Null;
        for _ in 0..100 {
            last = self.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true})).await;
            let value = &last["result"]["value"];
            if !value.is_null() && value != false {
                return value.clone();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never: {expression}: {last}");
    }

    async fn close(mut self) {
        let _ = self.process.kill().await;
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_docs_page_lists_and_calls_operations() {
    let w = World::new().await;
    let Some(mut browser) = Browser::start().await else { return };
    browser.call("Page.navigate", json!({"url": format!("{}/docs", w.url)})).await;
    browser.until("!!document.querySelector('#Library_CreateBook')").await;
    let who = |id: &str| format!("document.querySelector('#{id} .who')?.textContent ?? 'anybody'");
    assert_eq!(browser.until(&who("Library_CreateBook")).await, "signed in");
    assert_eq!(browser.until(&who("Library_Purge")).await, "admin");
    assert_eq!(browser.until(&who("Library_GetBook")).await, "anybody");

    let send = |id: &str| format!("document.querySelector('#{id} button').click(), true");
    let answer = |id: &str, status: u16| {
        let out = format!("document.querySelector('#{id} pre').textContent");
        format!("{out}.startsWith('{status}') && {out}.includes('}}') && {out}")
    };
    browser.until("document.querySelector('#Library_CreateBook').open = true").await;
    // The body is the document's example.
    let body = browser.until("document.querySelector('#Library_CreateBook textarea')?.value").await;
    assert_eq!(serde_json::from_str::<Value>(body.as_str().unwrap()).unwrap(), json!({"title": "text"}));
    browser.until(&send("Library_CreateBook")).await;
    let refused = browser.until(&answer("Library_CreateBook", 401)).await;
    assert!(refused.as_str().unwrap().contains("SIGN_IN_REQUIRED"), "{refused}");

    let token = w.token("usr_1", &["user"]);
    browser.until(&format!("document.getElementById('token').value = '{token}'")).await;
    browser.until(&send("Library_CreateBook")).await;
    let created = browser.until(&answer("Library_CreateBook", 200)).await;
    assert!(created.as_str().unwrap().contains("\"title\": \"text\""), "{created}");

    // A parameter in the path, and one that is found by typing.
    browser.until("document.querySelector('#Library_GetBook').open = true").await;
    browser.until("document.querySelector('#Library_GetBook input[aria-label=bookId]').value = 'b/7'").await;
    browser.until(&send("Library_GetBook")).await;
    let got = browser.until(&answer("Library_GetBook", 200)).await;
    assert!(got.as_str().unwrap().contains("\"bookId\": \"b/7\""), "{got}");
    browser.until("(document.getElementById('find').value = 'purge', true)").await;
    browser.until("document.getElementById('find').dispatchEvent(new Event('input'))").await;
    browser
        .until("document.querySelector('#Library_GetBook').hidden && !document.querySelector('#Library_Purge').hidden")
        .await;
    browser.close().await;
}
