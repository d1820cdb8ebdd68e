"""A mail server for tests: STARTTLS (or TLS from the start), a certificate made on the fly, every message kept as a file.

    python3 -m venv VENV && VENV/bin/pip install aiosmtpd
    VENV/bin/python tests/smtp/server.py --folder DIR [--refuse-first ADDRESS] [--user NAME --password WORD]
        [--implicit-tls] [--port N] [--until-eof]

It prints one line of JSON when it listens, {"port": …, "ca": "DIR/ca.pem"}, so that a test can write
smtp+starttls://localhost:PORT?ca=DIR/ca.pem, and one line for each thing that happens. The certificate is valid for
`localhost` and is its own authority. Messages go to DIR/NNNN.eml. The first attempt for ADDRESS is refused with 451.
It stops with SIGTERM, or when its standard input ends if --until-eof is given.

Needs `openssl` on the PATH. Nothing of Heyi is used here: it is the other end.
"""

import argparse
import asyncio
import json
import pathlib
import signal
import ssl
import subprocess
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def say(**what):
    """One line of JSON for the test that reads along."""
    print(json.dumps(what), flush=True)


def certificate(folder: pathlib.Path) -> ssl.SSLContext:
    """A self-signed certificate for localhost; `ca.pem` is what clients must trust."""
    key, ca = folder / "key.pem", folder / "ca.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", ca, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"],
        check=True, capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, key)
    return context


class Handler:
    """Keeps what comes; refuses the chosen recipient once."""

    def __init__(self, folder, refuse_first):
        self.folder = folder
        self.refuse_first = refuse_first
        self.count = 0

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address == self.refuse_first:
            self.refuse_first = None
            say(refused=True)
            return f"451 4.7.1 <{address}> please try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 recipient fine"

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        name = f"{self.count:04}.eml"
        unfinished = self.folder / f".{name}"
        unfinished.write_bytes(envelope.original_content)
        unfinished.rename(self.folder / name)
        say(file=name, tls=session.ssl is not None, peer=session.peer[1], authenticated=session.authenticated)
        return f"250 2.0.0 queued as {name}"


async def serve(options):
    folder = pathlib.Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    context = certificate(folder)
    handler = Handler(folder, options.refuse_first)

    def authenticate(server, session, envelope, mechanism, data):
        good = (data.login, data.password) == (options.user.encode(), options.password.encode())
        # Not handled: the server itself answers a wrong password with 535.
        return AuthResult(success=good, handled=good)

    settings = {"hostname": "localhost"}
    if options.user:
        settings |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": not options.implicit_tls}
    if not options.implicit_tls:
        settings |= {"tls_context": context, "require_starttls": True}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, loop=loop, **settings),
        host="127.0.0.1", port=options.port, ssl=context if options.implicit_tls else None,
    )
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if options.until_eof:
        loop.run_in_executor(None, lambda: (sys.stdin.read(), loop.call_soon_threadsafe(stopped.set)))
    say(port=server.sockets[0].getsockname()[1], ca=str(folder / "ca.pem"))
    await stopped.wait()
    server.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, help="where messages, key and certificate go")
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--refuse-first", metavar="ADDRESS", help="refuse this recipient's first attempt with 451")
    parser.add_argument("--user", help="ask for a log-in with this name")
    parser.add_argument("--password", default="", help="and this password")
    parser.add_argument("--implicit-tls", action="store_true", help="TLS from the first byte (smtps) instead of STARTTLS")
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
