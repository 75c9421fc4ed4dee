"""Takes the documentation's pictures from a real demonstration on this machine: `make screenshot`. Needs chromium."""

import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urljoin

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs"


def main() -> None:
    chromium = shutil.which("chromium") or sys.exit("There is no chromium: apt-get install chromium")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    demo = subprocess.Popen(  # noqa: S603  (our own command line)
        [sys.executable, "-u", "manage.py", "demo", "--port", port], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        address, password = read_access(demo)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            sign_in(page, address, password)
            take_pictures(page, address)
            browser.close()
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait()


def read_access(demo: subprocess.Popen[str]) -> tuple[str, str]:
    """Address and password, once the demonstration has come to its end."""
    said: dict[str, str] = {}
    for line in demo.stdout or ():
        sys.stdout.write(line)
        if found := re.match(r"(Admin|Password) +(\S+)", line):
            said[found[1]] = found[2]
        if "Password" in said:
            return said["Admin"], said["Password"]
    sys.exit("The demonstration ended without serving.")


def sign_in(page: Page, address: str, password: str) -> None:
    page.goto(address)
    page.get_by_role("textbox", name="Username").fill("admin")
    page.get_by_role("textbox", name="Password").fill(password)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Demonstration").first.wait_for()


def take_pictures(page: Page, address: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    page.get_by_role("link", name="Demonstration").first.click()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=PICTURES / "run.png")
    run = page.url.split("/")[-3]
    page.goto(f"{address}evaluations/result/?run={run}&o=-3")  # by word error rate, the worst first
    page.locator("#result_list tbody a").nth(9).click()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=PICTURES / "result.png")
    talk(page, address)
    page.screenshot(path=PICTURES / "talk.png")


def talk(page: Page, address: str) -> None:
    """A conversation with the embedded engines, by three recordings of the demonstration."""
    page.goto(f"{address}datasets/sample/")
    recordings = [audio.get_attribute("src") or "" for audio in page.locator("audio").all()[2:23:10]]
    page.goto(f"{address}voice/voicepipeline/talk/")
    page.get_by_role("button", name="Connect").click()
    page.locator("#talk-state", has_text="Connected").wait_for()
    for turn, recording in enumerate(recordings):
        audio = page.request.get(urljoin(address, recording)).body()
        page.set_input_files("#talk-file", {"name": "speech.wav", "mimeType": "audio/wav", "buffer": audio})
        end_of_answer = page.locator("#talk-delays tr").nth(turn).locator("td").last
        end_of_answer.filter(has_text="ms").wait_for(timeout=60_000)


if __name__ == "__main__":
    main()
