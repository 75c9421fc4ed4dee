"""The lines of a batch's result file, and everything that may be wrong with them."""

import json
from dataclasses import dataclass
from typing import Any

from tests.servers.gemini.answers import Answers
from tests.servers.gemini.errors import GoogleError
from tests.servers.gemini.faults import ANSWER_FAULTS, Fault, Faults


@dataclass
class Result:
    key: str
    metadata: Any
    body: dict[str, Any]  # {"response"} or {"error"}
    fault: Fault | None


def results_of(
    requests: list[dict[str, Any]], model: str, moment: float, answers: Answers, faults: Faults
) -> list[Result]:
    """One result for each request; the files it names must have been there at `moment`."""
    return [_result(index, one, model, moment, answers, faults) for index, one in enumerate(requests)]


def _result(index: int, one: dict[str, Any], model: str, moment: float, answers: Answers, faults: Faults) -> Result:
    key = str(one.get("key", ""))
    fault = faults.take("line", subject=f"{key} {model}", key=key, index=index)
    try:
        heard = answers.hear(one["request"], moment)
        answer_fault = fault if fault and fault.what in ANSWER_FAULTS else None
        body = {"response": answers.response(model, heard, answer_fault)}
    except GoogleError as error:
        body = {"error": error.rpc_status()}
    return Result(key, one.get("metadata"), body, fault)


def inline_responses(results: list[Result]) -> list[dict[str, Any]]:
    return [{**result.body, **({"metadata": result.metadata} if result.metadata else {})} for result in results]


def result_file(results: list[Result], faults: Faults, subject: str) -> bytes:
    lines = [line for result in results for line in _lines(result)]
    if faults.take("results", what="shuffled", subject=subject):
        lines = faults.shuffled(lines)
    content = "".join(f"{line}\n" for line in lines).encode()
    if faults.take("results", what="truncated", subject=subject):
        content = content[: len(content) * 2 // 3]
    return content


def _lines(result: Result) -> list[str]:
    """Usually one."""
    what = result.fault.what if result.fault else ""
    whole = {"key": result.key, **result.body}
    line = json.dumps(whole, ensure_ascii=False)
    match what:
        case "missing":
            return []
        case "twice":
            return [line, line]
        case "bad_json":
            return [line[:-2]]
        case "neither":
            return [json.dumps({"key": result.key})]
        case "unknown_key":
            return [json.dumps({**whole, "key": f"unknown-{result.key}"}, ensure_ascii=False)]
        case "missing_key":
            return [json.dumps(result.body, ensure_ascii=False)]
    return [line]
