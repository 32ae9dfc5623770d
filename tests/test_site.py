"""The documentation site in a browser, as wide as a phone and as a desktop: `make screenshots`, which builds it first."""

import functools
import http.server
import json
import shutil
import subprocess
import threading

import pytest

from tests.imports import ROOT

SITE = ROOT / "build" / "docs"
PICTURES = ROOT / "build" / "screenshots"
PAGES = sorted(
    path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if not path.relative_to(SITE).parts[0].startswith("_")
)
WIDTHS = {"phone": 390, "desktop": 1280}
HEIGHT = 2400
REPORTS = []
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
REPORT = """<script>
const problems = [];
const describe = event => event.message || `cannot load ${event.target.src || event.target.href}`;
addEventListener("error", event => problems.push(describe(event)), true);
console.error = (...parts) => problems.push(parts.join(" "));
addEventListener("load", () => setTimeout(() => {
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) problems.push(`${page.scrollWidth} pixels wide in a window of ${page.clientWidth}`);
  fetch("/report", {method: "POST", body: JSON.stringify(problems)});
}, 300));
</script></head>"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(BROWSER is None or not PAGES, reason="needs Chromium, and the site: run `make screenshots`"),
]


class Site(http.server.SimpleHTTPRequestHandler):
    """The site, whose pages report what is wrong with them. A page in a frame may be narrower than the browser's windows."""

    def do_GET(self):
        if self.path.startswith("/frame/"):
            _, _, width, page = self.path.split("/", 3)
            style = f"border: 0; width: {width}px; height: {HEIGHT}px"
            self.answer(f'<body style="margin: 0"><iframe src="/{page}" style="{style}"></iframe>')
        elif self.path.endswith(".html"):
            self.answer((SITE / self.path[1:]).read_text().replace("</head>", REPORT, 1))
        else:
            super().do_GET()

    def do_POST(self):
        REPORTS.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer("")

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Site, directory=SITE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("device", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_its_window_and_reports_no_error(page, device, address):
    picture = PICTURES / device / (page.replace("/", "-").removesuffix(".html") + ".png")
    picture.parent.mkdir(parents=True, exist_ok=True)
    REPORTS.clear()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=10000"]
    window = [f"--window-size={max(WIDTHS[device], 500)},{HEIGHT}", f"--screenshot={picture}"]
    url = f"{address}/frame/{WIDTHS[device]}/{page}"
    done = subprocess.run([BROWSER, *options, *window, url], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert REPORTS == [[]]
    assert picture.exists()
