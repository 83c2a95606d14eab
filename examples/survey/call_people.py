"""
Has the service call everybody in a CSV file with the columns `number` and `reason`.

    python call_people.py people.csv

Settings: PHONEBOT_PUBLIC_URL, SURVEY_NUMBER (the number that calls) and SURVEY_TOKEN (a token of the API with the
scope `operate`). Who has opted out is not called. Orders a call for each line: run it once for a file.
"""

import csv
import json
import os
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TIMEOUT_S = 10.0


def order(number: str, reason: str) -> str:
    """What became of the order, in a few words. Raises OSError where the service does not answer."""
    request = Request(
        f"{os.environ['PHONEBOT_PUBLIC_URL']}/api/v1/outbound-calls",
        json.dumps({"to": number, "from": os.environ["SURVEY_NUMBER"], "reason": reason}).encode(),
        {"Authorization": f"Bearer {os.environ['SURVEY_TOKEN']}", "Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:
            return str(json.load(answer)["state"])
    except HTTPError as refused:
        return f"not ordered: {refused.read().decode()}"


def main(path: str) -> None:
    with open(path, newline="", encoding="utf-8") as file:
        for person in csv.DictReader(file):
            print(person["number"], order(person["number"], person["reason"]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
