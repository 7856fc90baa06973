"""The report in a headless Chromium: it can be pointed at, read by keys, and fits a phone."""

from report_under_test import CANVASES, HOSTILE, report_of

from pixjax.report import write_report
from pixjax.report.html import visible


def screen(browser, width: int, scheme: str) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def test_the_page_works_in_a_browser(browser, tmp_path):
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    def one(selector: str):
        return browser.find_element(By.CSS_SELECTOR, selector)

    def read(row: str) -> str:
        return one(f".readout .{row}").text

    def move_to(element, x: float, y: float) -> None:
        """The pointer over a point of an element, x and y from 0 to 1."""
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        offset = (round((x - 0.5) * element.size["width"]), round((y - 0.5) * element.size["height"]))
        ActionChains(browser, duration=0).move_to_element_with_offset(element, *offset).perform()

    path = tmp_path / "report.html"
    write_report(path, report_of(HOSTILE))
    screen(browser, 1200, "light")
    browser.get(path.as_uri())
    assert browser.title.startswith("x</script>")

    # The slider moves the film and its label, and the button plays to the end.
    slider = one(".trajectory input")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", slider)
    film = "return getComputedStyle(document.querySelector('.trajectory img')).objectPosition"
    assert browser.execute_script(film) == "0px 100%"
    slider.send_keys(Keys.ARROW_LEFT)
    assert browser.execute_script(film) == "0px 75%"
    assert slider.get_attribute("aria-valuetext") == visible(HOSTILE)
    one(".trajectory button").click()
    WebDriverWait(browser, 5, 0.05).until(lambda _: browser.execute_script(film) == "0px 100%")
    assert one(".trajectory button").text == "Play"

    # The inspector names the token under the pointer, and the arrow keys go on from there.
    view = one(".view")
    move_to(view, 4.5 / 8, 0.5 / 8)
    assert (read("pixel"), read("index"), read("token"), read("margin")) == ("x 4, y 0", "1", "b", "0.5")
    assert read("color") == " ".join(map(str, CANVASES[0, 0, 4]))
    assert one(".context mark").text == "b"
    view.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert (read("pixel"), read("index"), read("margin")) == ("x 0, y 0", "—", "—")
    browser.find_elements(By.CSS_SELECTOR, ".picker button")[2].click()
    view.send_keys(Keys.ARROW_RIGHT)
    assert (read("token"), read("color")) == ("c", " ".join(map(str, CANVASES[2, 0, 1])))

    # Charts and decoded text tell their numbers.
    move_to(one(".plot"), 0.02, 0.5)
    assert one(".tip").text.endswith("1 (0 to 2)")
    one(".plot").send_keys(Keys.ARROW_RIGHT * 9)  # to the last, and no further
    assert one(".tip").text.endswith("3 (2 to 4)")
    move_to(one(".shaded [data-m]"), 0.1, 0.1)
    assert one(".tip").text.endswith("margin 0.25")

    # A finger's tip stays when it is lifted.
    token = one(".shaded [data-m]")
    touch = ActionBuilder(browser, mouse=PointerInput("touch", "finger"), duration=0)
    touch.pointer_action.move_to(token).pointer_down().pointer_up()
    move_to(one("h1"), 0.5, 0.5)
    assert not one(".tip").is_displayed()
    touch.perform()
    assert one(".tip").text.endswith("margin 0.25")

    # A phone, and the dark.
    def colors():
        script = "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
        return browser.execute_script(script)

    light = colors()
    screen(browser, 360, "dark")
    assert browser.execute_script("return innerWidth") == 360
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    assert all(now != before for now, before in zip(colors(), light, strict=True))

    assert browser.get_log("browser") == []
    blocked = """
        document.addEventListener("securitypolicyviolation", (event) => arguments[0](event.effectiveDirective));
        fetch("https://example.invalid/").catch(() => 0);
    """
    assert browser.execute_async_script(blocked) == "connect-src"
