//! Both posts: the folder, and SMTP against a server that says what the test wants.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A folder that is gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("heyi-mail-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join("mail")).expect("the mail folder");
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

#[test]
fn a_second_delivery_replaces_the_first() {
    let folder = Folder::new("twice");
    let url = format!("folder:{}", folder.0.display());
    run(async {
        let post = Post::from_url(&url, sender()).expect("a post");
        assert_eq!(post.to_string(), format!("{url}/mail"));
        let first = post.deliver(&mail()).await.expect("delivered");
        let (again, same) = (mail(), mail());
        let both = tokio::join!(post.deliver(&again), post.deliver(&same));
        assert_eq!((both.0.expect("delivered"), both.1.expect("delivered")), (first.clone(), first.clone()));
        assert_eq!(folder.names(), ["0198f0c4-7.3.0.eml"]);
        let written = std::fs::read_to_string(folder.0.join("mail/0198f0c4-7.3.0.eml")).expect("the mail");
        assert_eq!(written, formatted(&mail()));
        assert!(first.proof.starts_with("0198f0c4-7.3.0.eml sha256:"), "{}", first.proof);
    });
}

#[test]
fn a_folder_that_cannot_be_written_may_work_later() {
    let folder = Folder::new("blocked");
    std::fs::write(folder.0.join("mail"), "a file where the folder should be").expect("written");
    let failure = run(FolderPost::new(&folder.0, sender()).deliver(&mail())).expect_err("no folder");
    assert!(matches!(&failure, Failure::Temporary(why) if !why.contains("heyi-mail")), "{failure:?}");
    let mut bad = mail();
    bad.to_name = "a\r\nb".into();
    let failure = run(FolderPost::new(&folder.0, sender()).deliver(&bad)).expect_err("a bad name");
    assert!(matches!(failure, Failure::Permanent(_)), "{failure:?}");
}

#[test]
fn settings_are_read_and_never_repeated() {
    let shown = |url: &str| Post::from_url(url, sender()).map(|post| format!("{post} {post:?}"));
    for (url, expected) in [
        ("smtp://127.0.0.1:2525", "smtp://127.0.0.1:2525"),
        ("smtp://localhost", "smtp://localhost:25"),
        ("smtp+starttls://user:secret%40%3A%2F@mail.example", "smtp+starttls://mail.example:587"),
        ("smtps://us%40er:secret@mail.example/", "smtps://mail.example:465"),
        ("smtps://[::1]:465", "smtps://::1:465"),
    ] {
        let shown = shown(url).expect(url);
        assert!(shown.starts_with(expected), "{shown}");
        assert!(!shown.contains("secret") && !shown.contains("us%40er") && !shown.contains("user"), "{shown}");
    }
    let ca = Folder::new("ca");
    let nothing = ca.0.join("nothing.pem");
    std::fs::write(&nothing, "no certificate").expect("written");
    let with_ca = |path: &Path| format!("smtps://mail.example?ca={}", path.display());
    for (url, expected) in [
        ("http://secret@mail.example".to_owned(), "must begin with"),
        ("secret".to_owned(), "must begin with"),
        ("smtp://user:secret@mail.example".to_owned(), "need smtp+starttls://"),
        ("smtps://user@mail.example".to_owned(), "user and password"),
        ("smtps://user:secret%4@mail.example".to_owned(), "user and password"),
        ("smtps://:secret@mail.example".to_owned(), "user and password"),
        ("smtps://user:sec/ret".to_owned(), "port"),
        ("smtps://mail.example:secret".to_owned(), "port"),
        ("smtps://mail.example:0".to_owned(), "port"),
        ("smtps://".to_owned(), "host"),
        ("smtps://mail.example?verify=secret".to_owned(), "always verified"),
        ("smtps://mail.example?ca=a&ca=secret".to_owned(), "always verified"),
        ("smtp://mail.example?ca=secret".to_owned(), "smtps://"),
        (with_ca(&ca.0.join("secret.pem")), "cannot be read"),
        (with_ca(&nothing), "holds no certificate"),
        ("folder:".to_owned(), "folder:DIR"),
    ] {
        let error = shown(&url).expect_err(&url).to_string();
        assert!(error.contains(expected), "{url}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let weak = |url| Post::from_url(url, sender()).expect("a post").weakness().is_some();
    assert!(weak("smtp://mail.example") && weak("folder:x"));
    assert!(!weak("smtp://localhost") && !weak("smtps://mail.example"));
    let mut nobody = sender();
    nobody.address = "secret".into();
    assert_eq!(
        Post::from_url("smtp://localhost", nobody).map(|_| ()).expect_err("refused").to_string(),
        "the mail address of the sender is not valid"
    );
}

/// A mail server that answers each command from a script; what it took and how often it was called is kept.
#[derive(Clone, Default)]
struct Script {
    /// The answer to a command that begins so, once each, in order.
    once: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
    connections: Arc<Mutex<usize>>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Script {
    async fn start(once: &[(&'static str, &'static str)]) -> (Script, SmtpPost) {
        let script = Script { once: Arc::new(Mutex::new(once.to_vec())), ..Script::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("smtp://{}", listener.local_addr().expect("an address"));
        let own = script.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *own.connections.lock().expect("the count") += 1;
                tokio::spawn(own.clone().talk(stream));
            }
        });
        let Ok(Post::Smtp(post)) = Post::from_url(&url, sender()) else { panic!("a post") };
        (script, post)
    }

    fn answer(&self, command: &str) -> &'static str {
        let mut once = self.once.lock().expect("the script");
        if let Some(at) = once.iter().position(|(begins, _)| command.starts_with(begins)) {
            return once.remove(at).1;
        }
        match command.trim_end().split(' ').next() {
            Some("DATA") => "354 go on",
            Some("QUIT") => "221 bye",
            Some("END") => "250 2.0.0 queued as 7 for <wang.fang@mail.example>",
            _ => "250 fine",
        }
    }

    async fn talk(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        let mut body: Option<String> = None;
        let mut answer = self.answer("CONNECT").replace("250 fine", "220 ready");
        loop {
            match answer.as_str() {
                "close" => return,
                "silence" => std::future::pending::<()>().await,
                "" => {}
                words => stream.write_all(format!("{words}\r\n").as_bytes()).await.expect("written"),
            }
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            answer = match &mut body {
                Some(text) if line == ".\r\n" => {
                    self.taken.lock().expect("the mails").push(std::mem::take(text));
                    body = None;
                    self.answer("END").to_owned()
                }
                Some(text) => {
                    // Undo the dot that every sender doubles.
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    String::new()
                }
                None => self.answer(&line).to_owned(),
            };
            if answer.starts_with("354") {
                body = Some(String::new());
            }
        }
    }

    fn connections(&self) -> usize {
        *self.connections.lock().expect("the count")
    }
}

#[test]
fn a_server_takes_mails_over_one_connection() {
    run(async {
        let (script, post) = Script::start(&[]).await;
        for _ in 0..3 {
            let delivered = post.deliver(&invited()).await.expect("delivered");
            assert_eq!(delivered.proof, "250 2.0.0 queued as 7 for …");
        }
        assert_eq!(script.connections(), 1);
        let taken = script.taken.lock().expect("the mails").clone();
        assert_eq!(taken.len(), 3);
        assert!(taken.iter().all(|t| *t == formatted(&invited())), "what arrives is what was built");
        post.close().await;
        post.deliver(&mail()).await.expect("delivered");
        assert_eq!(script.connections(), 2);
    });
}

#[test]
fn refusals_are_told_apart_and_name_nobody() {
    let permanent = |why: &str| Failure::Permanent(why.to_owned());
    let temporary = |why: &str| Failure::Temporary(why.to_owned());
    for (command, answer, expected) in [
        ("RCPT", "451 4.7.1 <wang.fang@mail.example> greylisted", temporary("the mail server refused the recipient: 451 4.7.1")),
        ("RCPT", "550 5.1.1 <wang.fang@mail.example> unknown", permanent("the mail server refused the recipient: 550 5.1.1")),
        ("RCPT", "550 no wang.fang here", permanent("the mail server refused the recipient: 550")),
        ("END", "554 5.7.1 spam", permanent("the mail server refused the message: 554 5.7.1")),
        ("END", "452 4.3.1 full", temporary("the mail server refused the message: 452 4.3.1")),
        ("MAIL", "550 5.7.1 not you", temporary("the mail server refused the sender: 550 5.7.1")),
        ("CONNECT", "554 5.7.1 blocked", temporary("the mail server cannot be reached: 554 5.7.1")),
        ("CONNECT", "close", temporary("the mail server cannot be reached: the connection broke")),
        ("END", "close", temporary("the mail server cannot be reached: the connection broke")),
        ("CONNECT", "silence", temporary("the mail server cannot be reached: no answer in time")),
        ("RCPT", "silence", temporary("the mail server gave no answer in time")),
    ] {
        run(async {
            let (_, post) = Script::start(&[(command, answer)]).await;
            let post = post.impatient();
            assert_eq!(post.deliver(&mail()).await, Err(expected), "{command} {answer}");
            post.deliver(&mail()).await.expect("the next attempt succeeds");
        });
    }
}

#[test]
fn a_connection_that_the_server_has_closed_costs_no_failure() {
    for answer in ["close", "421 4.4.2 idle too long"] {
        run(async {
            let (script, post) = Script::start(&[]).await;
            post.deliver(&mail()).await.expect("delivered");
            script.once.lock().expect("the script").push(("MAIL", answer));
            post.deliver(&mail()).await.expect("delivered on a new connection");
            assert_eq!(script.connections(), 2, "{answer}");
        });
    }
}

#[test]
fn no_more_connections_than_allowed() {
    run(async {
        let (script, post) = Script::start(&[]).await;
        let post = Arc::new(post);
        let mut tasks = Vec::new();
        for n in 0..40 {
            let (post, mail) = (post.clone(), Mail { id: format!("n-{n}"), ..mail() });
            tasks.push(tokio::spawn(async move { post.deliver(&mail).await }));
        }
        for task in tasks {
            task.await.expect("no panic").expect("delivered");
        }
        assert!(script.connections() <= 4, "{}", script.connections());
        assert_eq!(script.taken.lock().expect("the mails").len(), 40);
    });
}

#[test]
fn nobody_listening_may_work_later_and_no_starttls_is_no_sending() {
    run(async {
        let Ok(Post::Smtp(post)) = Post::from_url("smtp://127.0.0.1:1", sender()) else { panic!("a post") };
        assert!(matches!(post.deliver(&mail()).await, Err(Failure::Temporary(_))));
        let (script, plain) = Script::start(&[]).await;
        let url = plain.to_string().replace("smtp://", "smtp+starttls://user:secret@");
        let Ok(Post::Smtp(post)) = Post::from_url(&url, sender()) else { panic!("a post") };
        let failure = tokio::time::timeout(Duration::from_secs(5), post.deliver(&mail())).await.expect("in time");
        assert_eq!(failure, Err(Failure::Temporary("the mail server cannot be reached safely: it does not offer what is needed".into())));
        assert!(script.taken.lock().expect("the mails").is_empty());
    });
}
