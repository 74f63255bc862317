"""Says whether a Chinese review is positive or negative: for --text, or at a prompt."""

import argparse
import dataclasses
import json
import sys

from text.commands import exits_with_status, probability

MODEL_PATH = "mini_bert_sentiment_classifier.keras"
POSITIVE_THRESHOLD = 0.7
EXIT_WORD = "exit"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=f"{__doc__} Without --text it asks for reviews until you type {EXIT_WORD}.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--text", action="append", metavar="REVIEW", help="a review to judge; may be given repeatedly")
    parser.add_argument("--model", default=MODEL_PATH, metavar="FILE", help="the model that judges")
    parser.add_argument(
        "--threshold",
        type=probability,
        default=POSITIVE_THRESHOLD,
        metavar="P",
        help="lowest probability of a positive verdict, 0 to 1",
    )
    parser.add_argument("--json", action="store_true", help="answer with one JSON object a line")
    return parser


@exits_with_status
def main(argv=None) -> int:
    args = build_parser().parse_args(argv)
    from serving.predictor import Predictor

    at_terminal = sys.stderr.isatty()
    if at_terminal:
        print("loading the model…", end="\r", file=sys.stderr, flush=True)
    predictor = Predictor(args.model, args.threshold)
    if at_terminal:
        print("                  ", end="\r", file=sys.stderr, flush=True)
    show = _as_json if args.json else _as_text
    if args.text is None:
        return prompt(predictor, show)
    return answer(predictor, args.text, show)


def answer(predictor, texts: list[str], show) -> int:
    """Prints a verdict for each text; returns 1 where one of them has none, else 0."""
    status = 0
    for prediction in predictor.predict(texts):
        if prediction.problem:
            print(f"error: {prediction.problem}: {prediction.text!r}", file=sys.stderr)
            status = 1
        else:
            print(show(prediction), flush=True)
    return status


def prompt(predictor, show) -> int:
    """Asks for reviews and judges them, until `exit`, the end of the input or Ctrl-C."""
    if hasattr(sys.stdin, "reconfigure"):  # one undecodable line is no reason to lose the others
        sys.stdin.reconfigure(errors="surrogateescape")
    print(f"Type a review and press Enter; {EXIT_WORD} ends.", file=sys.stderr)
    while True:
        try:
            text = _read_line()
            if text.strip().lower() == EXIT_WORD:
                return 0
            answer(predictor, [text], show)
        except (EOFError, KeyboardInterrupt):
            print(file=sys.stderr)
            return 0


def _read_line() -> str:
    # `input` writes its question to standard output, where only answers belong.
    print("> ", end="", file=sys.stderr, flush=True)
    return input()


def _as_text(prediction) -> str:
    remark = "  (only the beginning of this long text was read)" if prediction.cut else ""
    return (
        f"{prediction.label}  probability {prediction.probability:.4f}  confidence {prediction.confidence:.4f}{remark}"
    )


def _as_json(prediction) -> str:
    fields = dataclasses.asdict(prediction)
    del fields["problem"]
    return json.dumps(fields, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
