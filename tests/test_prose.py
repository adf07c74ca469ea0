"""Prose is plain: sentences start with a noun or a verb, and spelling is American.

CONTRIBUTING.md has the whole rule. These tests hold the half that a program can check.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPENERS = ("of", "what", "that", "those", "where", "whether", "which", "how", "whose")

PAGES = sorted(p for folder in ("", "docs", "data") for p in (ROOT / folder).glob("*.md"))
MODULES = sorted(p for folder in ("coordnet", "scripts", "tests") for p in (ROOT / folder).rglob("*.py"))
CONFIGS = sorted((ROOT / "conf").rglob("*.yaml"))
FILES = [str(p.relative_to(ROOT)) for p in (*PAGES, *MODULES, *CONFIGS)]

WORDS = r"""
    colour|discolour|centre(?!d?_)|centring|recentre|grey|neighbour|behaviour|favour|honour|rigour|vapour
    |labell|modell|travell|signall|channell|fuell|learnt|burnt|spelt|dreamt|whilst|artefact|metre|kilometre|fibre
    |theatre|defence|licence|analys(?:e|ed|er|ing)\b|catalys(?:e|ed|ing)\b
"""
STEMS = r"""
    optim|normal|initial|regular|memor|discret|quant|parametr|parameter|visual|minim|maxim|summar|organ|recogn|util
    |general|synthes|serial|factor|vector|random|penal|real|special|standard|categor|custom|digit|equal|final|harmon
    |linear|local|material|orthogonal|orthonormal|polar|raster|stabil|symmetr|synchron|token|character|emphas|author
"""
SPELLING = re.compile(
    rf"(?<![a-z])((?:(?:{WORDS})|(?:un|re|de)?(?:{STEMS})is(?:e|ed|es|er|ers|ing|ation|ations)\b)[a-z]*)",
    re.IGNORECASE | re.VERBOSE,
)


def sentences(text: str) -> list[str]:
    """Splits one paragraph after each full stop, exclamation mark or question mark that a space follows."""
    return re.split(r"(?<=[.!?])[\"')*_\]]*\s+", " ".join(text.split()))


def badly_opened(text: str, any_case: bool = True) -> Iterator[str]:
    """Yields the sentences of a paragraph that start with one of the openers and are no questions.

    Args:
        text: One paragraph, one entry or one cell of a table.
        any_case: The first word is compared in lower case. Later sentences start with a capital anyway.
    """
    for place, sentence in enumerate(sentences(text)):
        word = re.match(r"[\s\"'(*_\[!#-]*([A-Za-z]+)\b", sentence)
        if word is None or sentence.rstrip("\"')*_").endswith("?"):
            continue
        first = word[1]
        is_opener = first.lower() in OPENERS and (first[0].isupper() or (any_case and place == 0))
        if is_opener:
            yield sentence[:100]


def paragraphs_of_docstring(docstring: str) -> Iterator[str]:
    """Yields the paragraphs, entries and list items of a docstring without its examples."""
    part: list[str] = []
    literal_indent: int | None = None
    for line in [*docstring.expandtabs().splitlines(), ""]:
        text, indent = line.strip(), len(line) - len(line.lstrip())
        if literal_indent is not None and text and indent > literal_indent:
            continue
        literal_indent = None if text else literal_indent
        entry = re.match(r"(?:[\w*./]+(?: \([^)]*\))?(?:, [\w*./]+)*:|[-*]|\d+\.) (.*)", text)
        if (
            not text
            or entry
            or re.fullmatch(r"(Args|Attributes|Raises|Returns|Yields|Example|Examples):", text)
        ):
            if part:
                yield " ".join(part)
            part = [entry[1]] if entry else []
            continue
        if text.startswith((">>>", "...")):
            continue
        part.append(text)
        if text.endswith("::"):
            literal_indent = indent


def comments_of(source: str) -> Iterator[tuple[int, str]]:
    """Yields the line and text of each comment; comments on consecutive lines of one column are joined."""
    block: list[str] = []
    start = last = column = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        text = token.string.lstrip("#!: ").strip()
        if re.match(r"(type: ignore|noqa|fmt:|pragma|ruff:)", text):
            continue
        if block and token.start == (last + 1, column):
            block.append(text)
        else:
            if block:
                yield start, " ".join(block)
            block, start, column = [text], token.start[0], token.start[1]
        last = token.start[0]
    if block:
        yield start, " ".join(block)


def messages_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields the line and the leading text of each literal that is raised, or that is help of an option."""
    for node in ast.walk(tree):
        literals: list[ast.expr] = []
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            literals = list(node.exc.args)
        elif isinstance(node, ast.Call):
            literals = [k.value for k in node.keywords if k.arg in ("help", "description")]
        for literal in literals:
            first = literal.values[0] if isinstance(literal, ast.JoinedStr) and literal.values else literal
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield literal.lineno, first.value


def faults_of_module(path: Path) -> Iterator[str]:
    source = path.read_text()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            line = getattr(node, "lineno", 1)
            for paragraph in paragraphs_of_docstring(ast.get_docstring(node) or ""):
                yield from (f"{line}: {fault}" for fault in badly_opened(paragraph))
    for line, comment in comments_of(source):
        yield from (f"{line}: {fault}" for fault in badly_opened(comment))
    if "tests" not in path.parts:
        for line, message in messages_of(tree):
            yield from (f"{line}: {fault}" for fault in badly_opened(message))


def faults_of_page(path: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for block in re.split(r"\n\s*\n", text):
        part: list[str] = []
        for line in [*block.splitlines(), "- "]:
            if re.match(r"( {4}|\t)\S", line) and not part:
                continue  # indented code
            new = re.match(r"\s*(?:[-*+]|\d+\.)\s+", line)
            if part and (new or line.startswith(("|", "#"))):
                yield from badly_opened(" ".join(part))
                part = []
            if line.startswith("|"):
                for cell in re.split(r"(?<!\\)\|", line):
                    yield from badly_opened(cell)
            elif not line.startswith("#"):
                part.append(line[new.end() :] if new else line)


def faults_of_config(path: Path) -> Iterator[str]:
    block: list[str] = []
    for line in [*path.read_text().splitlines(), ""]:
        comment = re.search(r"(?:^|\s)#+ ?(.*)", line)
        whole = line.lstrip().startswith("#")
        if block and not whole:
            yield from badly_opened(" ".join(block))
            block = []
        if comment and whole and not comment[1].startswith("@"):
            block.append(comment[1])
        elif comment and not whole:
            yield from badly_opened(comment[1])


def faults_of(name: str) -> list[str]:
    path = ROOT / name
    by_kind = {".py": faults_of_module, ".md": faults_of_page, ".yaml": faults_of_config}
    faults = list(by_kind[path.suffix](path))
    if name != "tests/test_prose.py":
        text = path.read_text()
        if name == "CHANGELOG.md":
            text = re.sub(r"`[^`\n]*`", "", text)  # names of before
        for number, line in enumerate(text.splitlines(), 1):
            faults += [f"{number}: {word} (British)" for word in SPELLING.findall(line)]
    return faults


@pytest.mark.parametrize("name", FILES)
def test_sentences_start_with_a_noun_or_a_verb_and_spelling_is_american(name: str) -> None:
    faults = faults_of(name)
    assert not faults, "\n".join([f"{name}:", *faults])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Of the draws.", 1),
        ("size: samples along an axis. Whether it is even decides.", 1),
        ("Which one? The first.", 0),
        ("**What Θ is of.** The kernel is that of the field.", 1),
        ("The kernel, of which there are two. A scene (Where it is) is read.", 0),
        ("whose cameras", 1),
        ("Whole numbers only. Offsets are in pixels. Thatch.", 0),
    ],
)
def test_openers_are_found(text: str, count: int) -> None:
    assert len(list(badly_opened(text))) == count


def test_entries_of_a_docstring_are_read_one_by_one() -> None:
    docstring = "Makes it.\n\nArgs:\n    size: Of the grid.\n        More.\n    a, b: Counts.\n\nRaises:\n    E: That."
    found = [fault for part in paragraphs_of_docstring(docstring) for fault in badly_opened(part)]
    assert found == ["Of the grid.", "That."]
