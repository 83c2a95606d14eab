"""What the documents say is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


NAMED = re.compile(r"`([\w/]*test_\w+\.py)::(test_\w+)`")


def test_every_test_that_a_document_names_exists() -> None:
    """By its path below tests/, or below tests/call/."""
    named = [
        match.groups()
        for document in sorted((ROOT / "docs").glob("*.md"))
        for match in NAMED.finditer(document.read_text())
    ]
    assert len(named) > 10
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in _code(file)]
    assert missing == []


PAGES = sorted((ROOT / "docs").glob("*.md"))
EXAMPLES = sorted((ROOT / "examples").rglob("README.md"))
IN_DEPLOY = re.compile(r"deploy/(?!test_)[\w./@-]*\w")  # tests are named by their path below tests/


def test_every_file_of_deploy_that_is_named_exists() -> None:
    naming = [*PAGES, ROOT / "README.md", *(path for path in (ROOT / "deploy").rglob("*") if path.is_file())]
    named = {name for page in naming for name in IN_DEPLOY.findall(page.read_text("utf-8"))}
    assert len(named) > 10
    # What an operator makes of the example.
    mine = "deploy/kubernetes/overlays/production"
    assert sorted(name for name in named if not ((ROOT / name).exists() or name.startswith(mine))) == []


def test_every_link_between_documents_leads_somewhere() -> None:
    for page in (*PAGES, *EXAMPLES, ROOT / "README.md"):
        for link in re.findall(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_document_that_an_example_names_exists() -> None:
    """By its path, since an example is copied elsewhere."""
    named = {name for page in EXAMPLES for name in re.findall(r"`(docs/[\w.-]+)`", page.read_text("utf-8"))}
    assert len(named) > 5
    assert sorted(name for name in named if not (ROOT / name).is_file()) == []


def test_a_document_that_another_one_names_is_linked() -> None:
    """Who reads the site has no folder to look the name up in."""
    names = {page.name for page in PAGES}
    code_or_link = re.compile(
        r"^ *```.*?^ *```$|^ {4}.*?$|`[^`]*`|\[[^\]]*\]\([^)]*\)|<!--.*?-->", re.MULTILINE | re.DOTALL
    )
    unlinked = {
        f"{page.name}: {name}"
        for page in PAGES
        for name in re.findall(r"\b[a-z-]+\.md\b", code_or_link.sub("", page.read_text("utf-8")))
        if name in names
    }
    assert unlinked == set()


def test_every_document_is_in_the_site_and_in_its_index() -> None:
    """Once each; what the site's builder passes over is a page of `nav` that is not there."""
    nav = re.findall(r":\s([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(nav) == [page.name for page in PAGES]
    linked = re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "index.md").read_text("utf-8"))
    assert {"index.md", *linked} == set(nav)


def test_every_document_is_found_from_the_readme() -> None:
    found, looked_through = {ROOT / "README.md"}, set[Path]()
    while todo := found - looked_through:
        page = todo.pop()
        looked_through.add(page)
        names = re.findall(r"\b([\w-]+\.md)\b", page.read_text("utf-8"))
        found |= {path for name in names if (path := ROOT / "docs" / name) in PAGES}
    assert set(PAGES) <= found


def _code(file: str) -> str:
    path = ROOT / "tests" / file if "/" in file else ROOT / "tests" / "call" / file
    return path.read_text() if path.is_file() else ""
