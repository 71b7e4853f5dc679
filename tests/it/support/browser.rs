//! A real browser, as Debian has it: headless Chromium, driven over its `DevTools` protocol on a pair of pipes.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::{PATIENCE, Project, wait_for};

/// A running browser. Killed at the end of the test.
#[derive(Debug)]
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    /// What came while something else was waited for.
    events: VecDeque<Value>,
    number: u64,
}

/// A tab of it.
#[derive(Debug)]
pub(crate) struct Tab<'b> {
    browser: &'b mut Browser,
    session: String,
}

impl Browser {
    /// Starts it with a profile in a project's folder. `None` if it is not installed, which is said loudly.
    #[track_caller]
    pub(crate) fn start(project: &Project) -> Option<Self> {
        let log = std::fs::File::create(project.path("chromium.log")).unwrap();
        // It speaks on descriptors 3 and 4, which the shell makes of the two we have.
        let started = Command::new("sh")
            .args([
                "-c",
                "command -v chromium >/dev/null || exit 127; exec chromium \"$@\" 3<&0 4>&1 </dev/null >&2",
                "sh",
            ])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
            .args([
                "--no-first-run",
                "--disable-extensions",
                "--disable-background-networking",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", project.path("chromium").display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn();
        let mut child = started.unwrap();
        let (to, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (tell, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Ok(message) = message else { return };
                // Nobody listens any more at the end of the test.
                drop(tell.send(serde_json::from_slice(&message).unwrap()));
            }
        });
        let mut browser = Self { child, to, from, events: VecDeque::new(), number: 0 };
        // The first answer, or the end of what is not there.
        if browser.try_call("", "Browser.getVersion", &json!({})).is_none() {
            let status = browser.child.wait().unwrap();
            let log = std::fs::read_to_string(project.path("chromium.log")).unwrap();
            assert_eq!(status.code(), Some(127), "chromium did not start:\n{log}");
            assert!(std::env::var_os("FOREBAY_REQUIRE_TOOLS").is_none(), "chromium is required");
            eprintln!("LEFT OUT: chromium not installed");
            return None;
        }
        Some(browser)
    }

    /// Opens an empty tab that tells everything that goes wrong in it.
    #[track_caller]
    pub(crate) fn tab(&mut self) -> Tab<'_> {
        let target = self.call("", "Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call("", "Target.attachToTarget", &attach)["sessionId"].as_str().unwrap().to_owned();
        self.events.clear();
        let mut tab = Tab { browser: self, session };
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility"] {
            tab.call(&format!("{domain}.enable"), &json!({}));
        }
        tab
    }

    #[track_caller]
    fn call(&mut self, session: &str, method: &str, params: &Value) -> Value {
        self.try_call(session, method, params).unwrap_or_else(|| panic!("chromium ended during {method}"))
    }

    /// Calls a method; `None` if the browser has ended.
    #[track_caller]
    fn try_call(&mut self, session: &str, method: &str, params: &Value) -> Option<Value> {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": params });
        if !session.is_empty() {
            message["sessionId"] = session.into();
        }
        // Whether it is still there shows when it answers.
        drop(self.to.write_all(format!("{message}\0").as_bytes()));
        let began = Instant::now();
        loop {
            match self.from.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
                Ok(answer) if answer["id"] == self.number => {
                    assert!(answer["error"].is_null(), "{method} {params}: {}", answer["error"]);
                    return Some(answer["result"].clone());
                }
                Ok(event) => self.events.push_back(event),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("{method} was not answered within {PATIENCE:?}"),
            }
        }
    }
}

impl Tab<'_> {
    /// Calls a method of the `DevTools` protocol.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        self.browser.call(&self.session, method, params)
    }

    /// Goes to an address and waits until the page is there.
    #[track_caller]
    pub(crate) fn go(&mut self, url: &str) {
        let went = self.call("Page.navigate", &json!({ "url": url }));
        assert!(went["errorText"].is_null(), "{url}: {went}");
        wait_for(url, || (self.eval("document.readyState") == "complete").then_some(()));
    }

    /// Evaluates an expression in the page.
    #[track_caller]
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Returns the text a person sees; none while a page is on its way.
    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        let text = self.eval("document.readyState === 'complete' ? document.body.innerText : ''");
        text.as_str().unwrap().to_owned()
    }

    /// Waits until the page shows `words`.
    #[track_caller]
    pub(crate) fn wait_text(&mut self, words: &str) {
        wait_for(&format!("the page to show {words:?}"), || self.text().contains(words).then_some(()));
    }

    /// Pretends to be a screen of this size with light or dark colours.
    #[track_caller]
    pub(crate) fn screen(&mut self, width: u32, height: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", &media);
    }

    /// Writes a picture of the screen, or of the whole page, as PNG.
    #[track_caller]
    pub(crate) fn screenshot(&mut self, to: &Path, whole: bool) {
        let shot = self.call("Page.captureScreenshot", &json!({ "format": "png", "captureBeyondViewport": whole }));
        let png = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        assert!(png.starts_with(b"\x89PNG"), "no picture");
        std::fs::write(to, png).unwrap();
    }

    /// Returns role and name of everything a screen reader would find.
    #[track_caller]
    pub(crate) fn spoken(&mut self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", &json!({}));
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == false);
        nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
    }

    /// Returns what went wrong since the last call: console errors, exceptions, refusals of the policy, dialogs.
    #[track_caller]
    pub(crate) fn troubles(&mut self) -> Vec<String> {
        // An answer to this comes after whatever was told before.
        self.eval("0");
        let mut troubles = Vec::new();
        for event in std::mem::take(&mut self.browser.events) {
            let params = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" | "Page.javascriptDialogOpening" | "Log.entryAdded" => {
                    troubles.push(params.to_string());
                }
                "Runtime.consoleAPICalled"
                    if ["error", "warning", "assert"].contains(&params["type"].as_str().unwrap()) =>
                {
                    troubles.push(params.to_string());
                }
                _ => {}
            }
        }
        troubles
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends with its children when asked; killed it would leave them.
        drop(self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0"));
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
