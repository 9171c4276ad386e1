"""Which columns of a problem file are read: what the recipe names, or the known names that the first row has."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from jobs.problems.file_rows import NoColumns
from jobs.problems.templates import QUESTION_NAME, ColumnName, column_heads, has_value
from records.bounded import quoted
from scaling.answers.boxes import boxed_answer

AUTO = "auto"
NO_REFERENCE = ("", "none")

ID_COLUMNS = ("problem_id", "unique_id", "id")
ANSWER_MARKER = "####"
"""GSM8K's: the worked solution, then this, then the final answer."""


class KeyForm(StrEnum):
    """Where in its column the answer key is."""

    PLAIN = "plain"
    """The column is the key; an `ANSWER_MARKER` in it is a mistake."""
    VERBATIM = "verbatim"
    """The column is the key, whatever is in it."""
    MARKED = "marked"
    """It follows the last `ANSWER_MARKER`."""
    BOXED = "boxed"
    r"""It is in the last `\boxed{...}`."""


class Preset(NamedTuple):
    """The layout of a published data set: names in the order in which they are looked for.

    Attributes:
        form: of the answer key; None: as the first row's looks.
    """

    question: tuple[str, ...]
    reference: tuple[str, ...]
    form: KeyForm | None


ANSWER_COLUMNS = (
    "answer",
    "reference",
    "final_answer",
    "expected_answer",
    "extracted_groundtruth",
    "ground_truth",
    "target",
)
PRESETS = {
    AUTO: Preset(("question", "problem", "prompt", "input"), (*ANSWER_COLUMNS, "solution"), None),
    "gsm8k": Preset(("question",), ("answer",), KeyForm.MARKED),
    "math": Preset(("problem",), ("answer", "solution"), None),
    "generic": Preset(("question",), ("answer", "reference"), KeyForm.VERBATIM),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemColumns:
    """Which columns to read; "auto" takes the one known name that the first row has, whatever its capitals."""

    preset: str = AUTO
    """One of `PRESETS`: which names are known, and where in its column the answer key is."""
    problem_id: str = AUTO
    """Auto: problem_id, unique_id or id; without any, ids are made from the row numbers."""
    question: str = AUTO
    """Auto: question, problem, prompt or input."""
    reference: str = AUTO
    r"""Auto: one of `ANSWER_COLUMNS`, else a solution with a box; without any, nothing is graded. "" or "none": none"""
    carry: tuple[str, ...] = ()
    """Columns that the problem's row has besides, as text."""
    text: tuple[str | ColumnName, ...] = ()
    """What a problem's text is made of, where the prompt names more than the question (`jobs.problems.templates`)."""

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that the text names."""
        return tuple(piece.name for piece in self.text if isinstance(piece, ColumnName))

    def names(self) -> frozenset[str]:
        """Every column that may be read."""
        preset = PRESETS[self.preset]
        named = (self.problem_id, self.question, self.reference, *column_heads((*self.named, *self.carry)))
        known = (*preset.question, *preset.reference)
        return frozenset((*ID_COLUMNS, *known, *(spelled(name) for name in known for spelled in _SPELLINGS), *named))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedColumns:
    """The columns that a file is read by.

    Attributes:
        problem_id: None: ids are made from row numbers.
        question: what `{question}` stands for; the first column of the text where nothing does.
        reference: None: the file has no answer key.
        reference_required: the user named the column, so every row must have it.
        form: where in its column the answer key is.
        others: the columns that are not read, for a message.
    """

    problem_id: str | None
    question: str
    reference: str | None
    reference_required: bool
    form: KeyForm
    others: str = ""
    carry: tuple[str, ...] = ()
    text: tuple[str | ColumnName, ...] = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """The columns that the problem's text is read from."""
        named = dict.fromkeys(piece.name for piece in self.text if isinstance(piece, ColumnName))
        return tuple(self.question if name == QUESTION_NAME else name for name in named) or (self.question,)


_SPELLINGS = (str.capitalize, str.upper, str.title)


def resolved_columns(row: dict[str, object], wanted: ProblemColumns) -> ResolvedColumns:
    """Settle the columns by the first row that can be read. Raises `NoColumns`."""
    preset = PRESETS[wanted.preset]
    asked = not wanted.text or QUESTION_NAME in wanted.named
    question = question_column(row, wanted.question, wanted.preset) if asked else wanted.named[0]
    reference = (
        None if wanted.reference in NO_REFERENCE else _column(row, wanted.reference, preset.reference, "reference")
    )
    if reference is None and wanted.reference not in NO_REFERENCE and wanted.preset != AUTO:
        raise NoColumns(
            f"no answer key: neither {' nor '.join(preset.reference)} is a column; {there_are(row)}; "
            'without a key set problems.reference to "none"'
        )
    form = KeyForm.PLAIN if reference is None else preset.form or _form(reference, row[reference], wanted.preset)
    if (
        reference is not None
        and reference.casefold() == "solution"
        and wanted.preset == wanted.reference == AUTO
        and form is not KeyForm.BOXED
    ):
        reference = None  # a worked solution is no key
    problem_id = _column(row, wanted.problem_id, ID_COLUMNS, "problem_id")
    _check_named(row, wanted.named, reference)
    for name in wanted.carry:
        if not has_value(row, name):
            raise NoColumns(f"there is no column {name!r}, which report.by or problems.carry names; {there_are(row)}")
    used = {problem_id, question, reference, *wanted.named, *wanted.carry, *_parents((*wanted.named, *wanted.carry))}
    return ResolvedColumns(
        problem_id=problem_id,
        question=question,
        reference=reference,
        reference_required=wanted.reference != AUTO,
        form=form,
        others=", ".join(repr(name) for name in row if name not in used),
        carry=wanted.carry,
        text=wanted.text,
    )


def question_column(row: dict[str, object], wanted: str, preset: str) -> str:
    """The column that holds the question: the one that is wanted, or a known one. Raises `NoColumns`."""
    known = PRESETS[preset].question
    found = _column(row, wanted, known, "question")
    if found is None:
        raise NoColumns(f"no question: neither {' nor '.join(known)} is a column; {there_are(row)}")
    return found


def _check_named(row: dict[str, object], named: Sequence[str], reference: str | None) -> None:
    """Refuse a prompt that names what is not there, or what the model may not see."""
    for name in named:
        if name != QUESTION_NAME and not has_value(row, name):
            raise NoColumns(
                f"there is no column {name!r}, which generator.prompt_template names; {there_are(row)}; braces that "
                f"are text are doubled: {{{{{name}}}}}"
            )
        if reference is not None and reference in (name, *_parents([name])) and name != QUESTION_NAME:
            raise NoColumns(
                f"generator.prompt_template names {name!r}, which is the answer key: the model would be told it; "
                f"braces that are text are doubled: {{{{{name}}}}}"
            )


def _parents(names: Sequence[str]) -> list[str]:
    """The columns within which names with a dot may be found."""
    return [name.partition(".")[0] for name in names if "." in name]


def _form(column: str, answer: object, preset: str) -> KeyForm:
    if column.casefold() == "solution" and (
        preset == "math" or (isinstance(answer, str) and boxed_answer(answer) is not None)
    ):
        return KeyForm.BOXED
    return KeyForm.MARKED if preset == AUTO and isinstance(answer, str) and ANSWER_MARKER in answer else KeyForm.PLAIN


def _column(row: dict[str, object], wanted: str, known: Sequence[str], key: str) -> str | None:
    if wanted == AUTO:
        return _known_column(row, known, key)
    if wanted not in row:
        raise NoColumns(f"there is no column {wanted!r}, which the recipe names; {there_are(row)}")
    return wanted


def _known_column(row: dict[str, object], known: Sequence[str], key: str) -> str | None:
    """The column of a known name; of a key, a worked solution counts only where there is nothing else."""
    if key == "problem_id" or len(known) < 3:  # a layout that says what comes first
        return next((name for name in known if name in row), None)
    fitting = [name for name in row if name.casefold() in known]
    found = [name for name in fitting if name.casefold() != "solution"] or fitting
    if len(found) > 1:
        raise NoColumns(
            f"several columns may hold the {'question' if key == 'question' else 'answer key'}: "
            f'{", ".join(map(repr, found))}; say which: problems.{key} = "{found[0]}"'
        )
    return found[0] if found else None


def there_are(row: dict[str, object]) -> str:
    """What a row has, for a message."""
    return f"the columns are: {quoted(', '.join(map(repr, row)) or 'none')}"
