"""README.zh-CN.md says to do what README.md says to do."""

import re

from pages import blocks, links, read

ENGLISH, CHINESE = "README.md", "README.zh-CN.md"


def test_the_same_commands_and_the_same_python():
    for language in ("bash", "sh", "python"):
        assert blocks(ENGLISH, language) == blocks(CHINESE, language) != []


def test_the_same_links_and_pictures():
    assert set(links(CHINESE)) - {ENGLISH} == set(links(ENGLISH)) - {CHINESE}


def test_each_leads_to_the_other():
    assert CHINESE in links(ENGLISH)
    assert ENGLISH in links(CHINESE)


def test_the_same_figures_and_commands_in_the_table_of_results():
    def rows(page: str) -> list[tuple[list[str], str]]:
        cells = [line.split("|")[1:-1] for line in read(page).splitlines() if line.startswith("|")]
        table = [row for row in cells if len(row) == 4 and not set(row[0]) <= set("- ")]
        return [(re.findall(r"[−+]?\d+\.?\d*", row[1]), row[3].strip()) for row in table[1:]]

    assert rows(ENGLISH) == rows(CHINESE) != []


def test_as_many_sections_in_the_same_order():
    assert len(re.findall(r"^## ", read(ENGLISH), re.MULTILINE)) == len(
        re.findall(r"^## ", read(CHINESE), re.MULTILINE)
    )
