"""`pixjax demo-ui`: what it refuses before anything is served, and its page in a headless Chromium."""

import os
import re
import socket
import sys
import urllib.request

import pytest

from pixjax.cli import main
from pixjax.sampling.generate import _sample
from pixjax.ui.proxies import note_on_proxies

HOSTILE = "<img src=x onerror=alert(1)>${7*7}{{7*7}}"


def test_without_gradio_it_says_what_to_install(workdir, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for module in ("pixjax.ui.serve", "pixjax.ui.page"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert main(["demo-ui", f"--workdir={workdir}", "--no-browser"]) == 2
    error = capsys.readouterr().err
    assert error.endswith("pip install 'pixjax[ui]'\n")
    assert error.count("\n") == 1


def test_a_port_that_is_none_is_refused(workdir, capsys):
    assert main(["demo-ui", f"--workdir={workdir}", "--port=70000"]) == 2
    assert capsys.readouterr().err == "pixjax: --port=70000 is no port: choose 1024 to 65535\n"


def test_a_port_in_use_and_a_folder_without_a_run_are_refused(workdir, tmp_path, capsys):
    pytest.importorskip("gradio", reason="no gradio: pip install 'pixjax[ui]'")
    assert main(["demo-ui", f"--workdir={tmp_path}", "--no-browser"]) == 2
    assert "is not a workdir" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo-ui", f"--workdir={workdir}", "--no-browser", f"--port={port}"]) == 2
    assert f"--port={port} cannot be had" in capsys.readouterr().err


def test_a_proxy_has_no_part_in_a_page_of_this_machine_and_is_there_again_for_the_browser(workdir, monkeypatch):
    pytest.importorskip("gradio", reason="no gradio: pip install 'pixjax[ui]'")
    from pixjax.ui.controls import Averages
    from pixjax.ui.serve import served

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    with served(Averages(str(workdir)), "a run") as address:
        assert urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address).status == 200
        assert os.environ["ALL_PROXY"] == "socks5://127.0.0.1:9"


@pytest.mark.parametrize(
    ("variables", "noted"),
    [
        ({}, False),
        ({"https_proxy": "http://proxy:3128"}, False),
        ({"http_proxy": "http://proxy:3128"}, True),
        ({"ALL_PROXY": "socks5://proxy:1080"}, True),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "localhost,127.0.0.1"}, False),
    ],
)
def test_who_would_be_sent_to_a_proxy_for_the_page_is_told_how_to_reach_it(monkeypatch, variables, noted):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("add 127.0.0.1 to no_proxy" in note_on_proxies("127.0.0.1")) == noted


def test_the_page_samples_and_shows_in_a_browser(workdir, browser, tmp_path):
    pytest.importorskip("gradio", reason="no gradio: pip install 'pixjax[ui]'")
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    from pixjax.ui.controls import Averages
    from pixjax.ui.serve import served

    def one(selector: str):
        return browser.find_element(By.CSS_SELECTOR, selector)

    def until(condition) -> None:
        WebDriverWait(browser, 60, 0.05).until(lambda _: condition())

    def fill(field: str, text: str) -> None:
        box = one(f"#{field} textarea, #{field} input")
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(text)

    def shown() -> str:
        return "".join(figure.text for figure in browser.find_elements(By.CSS_SELECTOR, "#text figure"))

    def problem() -> str:
        return "".join(line.text for line in browser.find_elements(By.CSS_SELECTOR, "#problem [role=alert]"))

    def sample(until_it) -> None:
        one("#go").click()
        until(until_it)

    def point(x: float, y: float) -> None:
        """A click into the middle of a pixel of the canvas, of 16."""
        canvas = one("#canvas img")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
        side = canvas.size["width"]
        offset = (round(((x + 0.5) / 16 - 0.5) * side), round(((y + 0.5) / 16 - 0.5) * side))
        ActionChains(browser, duration=0).move_to_element_with_offset(canvas, *offset).click().perform()
        until(lambda: f"x {x}, y {y}" in one("#token").text)

    with served(Averages(str(workdir)), f"{workdir}, step 4") as address:
        assert address.startswith("http://127.0.0.1:")
        browser.get(address)
        until(lambda: browser.find_elements(By.CSS_SELECTOR, "#go"))

        # What is written is shown as it is, shaded by its margin: what was given has a perfect one.
        fill("infill", HOSTILE + "____")
        sample(lambda: "step 2 of 2" in shown())
        tokens = browser.find_elements(By.CSS_SELECTOR, "#text [data-m]")[: len(HOSTILE)]
        assert "".join(token.text or " " for token in tokens) == HOSTILE
        assert {token.get_attribute("class") for token in tokens} == {"m10"}

        # A pixel names its token, at every step; the marker has none.
        point(1, 0)
        assert "token <\nid 60\nplace in the text 0\nmargin 1.00" in one("#token").text
        point(0, 0)
        assert "token none" in one("#token").text
        point(12, 14)
        last = one("#token").text
        one("#slider input[type=range]").send_keys(Keys.ARROW_LEFT)
        until(lambda: "step 1 of 2" in shown())
        until(lambda: one("#token").text != last)

        # A wrong value is answered in the words of the command, and what was made stays.
        fill("steps", "0")
        sample(lambda: problem() == "sampling.steps=0 has to be positive")
        assert "step 1 of 2" in shown()
        fill("steps", "2")
        fill("infill", Keys.BACKSPACE)
        fill("prompt", "<b>" * 99)
        sample(lambda: "--prompt has 297 tokens" in problem())
        (tmp_path / "broken.png").write_text("no picture")
        one("#prompt_image input[type=file]").send_keys(str(tmp_path / "broken.png"))
        until(lambda: "broken" in one("#prompt_image").text)
        sample(lambda: "broken.png is no picture that can be used" in problem())
        one("#prompt_image button[aria-label=Clear]").click()

        # Another prompt and another seed run the same program.
        browser.find_element(By.XPATH, "//*[@id='modality']//label[contains(., 'text')]").click()
        fill("prompt", "once")
        sample(lambda: not problem())
        made, programs = shown(), _sample._cache_size()
        fill("prompt", "upon a time")
        fill("seed", "5")
        sample(lambda: shown() != made)
        assert _sample._cache_size() == programs

        # It came from this machine alone, and may reach nothing else.
        names = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert {re.sub(r"(?<=\d)/.*", "/", name) for name in names if not name.startswith("data:")} == {address}
        blocked = """
            document.addEventListener("securitypolicyviolation", (event) => arguments[0](event.effectiveDirective));
            fetch("https://example.invalid/").catch(() => 0);
        """
        assert browser.execute_async_script(blocked) == "connect-src"
