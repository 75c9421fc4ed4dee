"""Formats the leaderboard as plain text for terminals."""

from evaluations.scoring.leaderboard import Leaderboard, Row

HEADINGS = ["Model", "WER", "CER", "S", "D", "I", "Words", "Scored", "Failed", "Empty", "RTFx", "Mean of samples"]


def leaderboard_table(board: Leaderboard) -> str:
    """Return one line for each model, then notes on how the numbers are made."""
    lines = [HEADINGS, *(_cells(row) for row in board.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = [
        "  ".join(_padded(cell, width, index) for index, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    text.insert(1, "-" * len(text[0]))
    unscored = sum(row.without_reference for row in board.rows)
    notes = [f"Normaliser {board.normalizer}. WER and CER are corpus rates: sum of errors over sum of reference."]
    if unscored:
        notes.append(f"{unscored} transcribed without a reference: not scored.")
    return "\n".join([*(line.rstrip() for line in text), "", *notes])


def _padded(cell: str, width: int, index: int) -> str:
    return cell.ljust(width) if index == 0 else cell.rjust(width)


def _cells(row: Row) -> list[str]:
    return [
        row.model_name,
        _percent(row.wer),
        _percent(row.cer),
        str(row.substitutions),
        str(row.deletions),
        str(row.insertions),
        str(row.reference_words),
        str(row.scored),
        str(row.failed),
        str(row.empty_outputs),
        "-" if row.rtfx is None else f"{row.rtfx:.1f}",
        _percent(row.mean_wer),
    ]


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.2f} %"
