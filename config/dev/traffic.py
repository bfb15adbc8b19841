#!/usr/bin/env python3
"""A little of everything that learners do, at a steady rate, so that every panel has something to show.

    traffic.py --api http://127.0.0.1:8080 --rate 20 --seconds 90

Open loop: each request starts when it is due, whatever became of those before. Prints what was answered how often, and
the share of purchases that failed. For measuring there is a load generator; this only keeps a site busy.
"""

import argparse
import collections
import http.client
import json
import random
import sys
import threading
import time
import uuid

PASSWORD = "a long enough one"
TOKENS = ["tok_ok", "tok_ok", "tok_ok", "tok_declined", "tok_lost_reply", "tok_twice"]


class Site:
    """The API, a few learners with full wallets, and what was answered."""

    def __init__(self, address):
        self.address = address
        self.answers = collections.Counter()
        _, page = self.call("GET", "/v1/courses?limit=100")
        self.courses = [course["id"] for course in page["data"]]
        self.learners, self.orders = [], []
        for _ in range(6):
            self.join()
        if not self.learners:
            sys.exit("nobody could log in; is the site ready?")

    def call(self, method, path, body=None, learner=None, key=None):
        headers = {"Idempotency-Key": key or uuid.uuid4().hex} if method == "POST" else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if learner:
            headers["Authorization"] = f"Bearer {learner}"
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if text else None
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def join(self):
        """A new learner registers, logs in and fills the wallet."""
        name = f"learner{uuid.uuid4().hex[:12]}"
        account = {"username": name, "password": PASSWORD, "email": f"{name}@example.com", "interests": ["photography-film"]}
        self.call("POST", "/v1/users", account)
        status, session = self.call("POST", "/v1/sessions", {"username": name, "password": PASSWORD})
        if status == 201:
            money = {"amount": 5_000_000, "currency": "CNY"}
            body = {"amount": money, "provider": "sandbox", "payment_token": "tok_ok"}
            self.call("POST", "/v1/me/wallet/top-ups", body, session["access_token"])
            self.learners.append(session["access_token"])
        return status

    def act(self):
        """One request of somebody."""
        learner, course = random.choice(self.learners), random.choice(self.courses)
        kind = random.choices(
            ["list", "course", "similar", "recommend", "event", "buy", "pay", "refund", "wallet", "join", "wrong"],
            [25, 10, 5, 10, 10, 20, 8, 5, 3, 2, 2],
        )[0]
        if kind == "list":
            status, _ = self.call("GET", "/v1/courses?limit=20")
        elif kind == "course":
            status, _ = self.call("GET", f"/v1/courses/{course}")
        elif kind == "similar":
            status, _ = self.call("GET", f"/v1/courses/{course}/similar")
        elif kind == "recommend":
            status, _ = self.call("GET", "/v1/me/recommendations?limit=5", learner=learner)
        elif kind == "event":
            status, _ = self.call("POST", "/v1/events", {"events": [{"type": "view", "course_id": course}]}, learner)
        elif kind == "buy":
            body = {"items": [{"course_id": course}], "payment_method": "wallet"}
            key = uuid.uuid4().hex
            status, order = self.call("POST", "/v1/orders", body, learner, key)
            if status == 201:
                self.orders.append((learner, order["id"]))
                if random.random() < 0.2:
                    self.call("POST", "/v1/orders", body, learner, key)
        elif kind == "pay":
            body = {"items": [{"course_id": course}], "payment_method": "sandbox", "payment_token": random.choice(TOKENS)}
            status, _ = self.call("POST", "/v1/orders", body, learner)
        elif kind == "refund" and self.orders:
            learner, order = self.orders.pop()
            status, _ = self.call("POST", f"/v1/orders/{order}/refunds", {"reason": "changed_mind"}, learner)
        elif kind == "join":
            status = self.join()
        elif kind == "wrong":
            status, _ = self.call("POST", "/v1/sessions", {"username": "nobody", "password": PASSWORD})
        else:
            status, _ = self.call("GET", "/v1/me/wallet", learner=learner)
        self.answers[kind, status] += 1


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    arguments.add_argument("--api", required=True)
    arguments.add_argument("--rate", type=float, default=20)
    arguments.add_argument("--seconds", type=float, default=90)
    options = arguments.parse_args()

    site = Site(options.api.removeprefix("http://"))
    began = time.monotonic()
    threads = []
    for number in range(int(options.rate * options.seconds)):
        time.sleep(max(0, began + number / options.rate - time.monotonic()))
        threads.append(threading.Thread(target=site.act, daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(timeout=15)
    for (kind, status), count in sorted(site.answers.items()):
        print(f"{kind:10} {status or 'no answer':>9} {count}")
    purchases = {key: count for key, count in site.answers.items() if key[0] in ("buy", "pay")}
    failed = sum(count for (_, status), count in purchases.items() if status == 0 or status >= 500)
    print(f"{sum(purchases.values())} purchases, {failed} failed: {failed / max(1, sum(purchases.values())):.1%}")


if __name__ == "__main__":
    main()
