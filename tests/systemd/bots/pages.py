"""A bot that has a page rendered by Chromium, in Chromium's own sandbox, and tells its size."""

import signal
import subprocess
import sys
from pathlib import Path

PAGE = """<body style="margin:0"><p id=p style="width:123px;height:45px;background:red"></p><script>
const box = document.getElementById("p").getBoundingClientRect();
document.title = `${box.width} by ${box.height}`;
</script></body>"""


def main(browser: str) -> None:
    """Render the page to text and to a picture; wait to be ended."""
    page = Path.cwd() / "page.html"
    page.write_text(PAGE)
    own = [browser, f"--user-data-dir={Path.cwd() / 'profile'}", "--disable-gpu"]
    told = [*own, "--dump-dom", page.as_uri()]
    text = subprocess.run(told, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
    picture = Path("page.png")
    drawn = [*own, f"--screenshot={picture.absolute()}", "--window-size=300,200", page.as_uri()]
    subprocess.run(drawn, check=True, timeout=60)
    head = picture.read_bytes()[:8]
    sys.stdout.write(f"rendered {text.split('<title>')[1].split('<')[0]}, {head!r}\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(sys.argv[1])
