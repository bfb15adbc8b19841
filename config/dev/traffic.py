#!/usr/bin/env python3
"""A little of everything that people do, at a steady rate, so that every panel has something to show.

    traffic.py --api http://127.0.0.1:8080 --rate 20 --seconds 90

Open loop: each request starts when it is due, whatever became of those before. Prints what was answered how often, and
the share of purchases that failed. For measuring there is a load generator; this only keeps a site busy.

The site has the content of `lyceum demo`: its operator issues codes and decides about refunds, one of its creators holds a
flash sale and offers a bundle, and both buyers and that creator are told of it by webhooks, at a receiver of this process.
"""

import argparse
import collections
import datetime
import http.client
import http.server
import json
import random
import sys
import threading
import time
import uuid

PASSWORD = "a long enough one"
TOKENS = ["tok_ok", "tok_ok", "tok_ok", "tok_declined", "tok_lost_reply", "tok_twice"]
# Of config/demo/people.toml.
OPERATOR = ("operator", "lyceum-ops-7421")
CREATOR = ("gaoyuan", "chalk-and-kettle-61")
# Courses whose sum no refund returns without an operator.
LARGE_CART = 12
# What is done how often.
ACTS = {
    "list": 25, "course": 10, "similar": 5, "recommend": 10, "event": 10, "wallet": 3, "join": 2, "wrong": 2,
    "buy": 20, "pay": 8, "refund": 5, "sale": 4, "bundle": 2, "coupon": 3, "gift": 3, "redeem": 4, "guess": 2,
    "otherwise": 2, "large": 1, "decide": 2, "invoice": 4,
}  # fmt: skip
PURCHASES = ("buy", "pay", "sale", "bundle", "coupon", "gift", "otherwise", "large")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes webhooks: most of them, none at all at /gone."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = 410 if self.path == "/gone" else random.choice([204] * 9 + [503])
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Site:
    """The API, a few learners with full wallets, what is offered, and what was answered."""

    def __init__(self, address):
        self.address = address
        self.answers = collections.Counter()
        _, page = self.call("GET", "/v1/courses?limit=100")
        self.courses = [course["id"] for course in page["data"]]
        receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        self.receiver = f"http://127.0.0.1:{receiver.server_port}"
        self.learners, self.orders, self.paid, self.codes, self.requested = [], [], [], [], []
        for _ in range(6):
            self.join()
        if not self.learners:
            sys.exit("nobody could log in; is the site ready?")
        self.offer()

    def call(self, method, path, body=None, caller=None, key=None):
        headers = {"Idempotency-Key": key or uuid.uuid4().hex} if method == "POST" else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if caller:
            headers["Authorization"] = f"Bearer {caller}"
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            text = response.read()
            is_json = "json" in response.getheader("Content-Type", "")
            return response.status, json.loads(text) if is_json else None
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def log_in(self, username, password):
        status, session = self.call("POST", "/v1/sessions", {"username": username, "password": password})
        return session["access_token"] if status == 201 else None

    def offer(self):
        """The creator holds a flash sale and offers a bundle, the operator issues codes and a coupon, and the creator hears of sales."""
        self.operator, creator = self.log_in(*OPERATOR), self.log_in(*CREATOR)
        if not (self.operator and creator):
            sys.exit("operator and creator of the demo cannot log in; `lyceum demo` loads them.")
        _, page = self.call("GET", "/v1/me/authored-courses?limit=100", caller=creator)
        own = [self.call("GET", f"/v1/courses/{course['id']}") for course in page["data"]]
        own = [course for status, course in own if status == 200 and course["price"]["amount"] > 0]
        self.discounted = own[0]["id"]
        sale = {"course_id": self.discounted, "price": half(own[:1]), "stock": 10_000, "starts_at": in_seconds(-1), "ends_at": in_seconds(7200)}
        self.sale = self.made("/v1/sales", sale, creator)["id"]
        bundle = {"title": "Everything at once", "course_ids": [course["id"] for course in own[:3]], "price": half(own[:3])}
        self.bundle = self.made("/v1/bundles", bundle, creator)["id"]
        for course in random.sample(self.courses, 3):
            batch = {"course_id": course, "count": 100, "expires_at": in_seconds(86_400), "reason": "traffic"}
            self.codes += self.made("/admin/v1/code-batches", batch, self.operator)["codes"]
        self.coupon = f"TRAFFIC{uuid.uuid4().hex[:8].upper()}"
        coupon = {"code": self.coupon, "benefit": {"percent": {"off_bps": 1000}}, "limit": 10_000, "per_user": 100}
        self.made("/admin/v1/coupons", coupon | {"starts_at": in_seconds(-1), "ends_at": in_seconds(7200)}, self.operator)
        self.listen(creator, "/", ["sale.completed", "sale.refunded"])

    def made(self, path, body, caller):
        status, answer = self.call("POST", path, body, caller)
        if status != 201:
            sys.exit(f"POST {path} was answered {status}: {answer}")
        return answer

    def listen(self, caller, path, events):
        self.call("POST", "/v1/me/webhook-endpoints", {"url": self.receiver + path, "events": events}, caller)

    def join(self):
        """A new learner registers, logs in and fills the wallet; some want to be told of their orders."""
        name = f"learner{uuid.uuid4().hex[:12]}"
        account = {"username": name, "password": PASSWORD, "email": f"{name}@example.com", "interests": ["photography-film"]}
        status, _ = self.call("POST", "/v1/users", account)
        learner = self.log_in(name, PASSWORD)
        if learner:
            money = {"amount": 5_000_000, "currency": "CNY"}
            body = {"amount": money, "provider": "sandbox", "payment_token": "tok_ok"}
            self.call("POST", "/v1/me/wallet/top-ups", body, learner)
            self.listen(learner, random.choice(["/", "/", "/gone"]), ["order.fulfilled", "order.cancelled", "order.refunded"])
            self.learners.append(learner)
        return status

    def order(self, learner, items, key=None, **more):
        return self.call("POST", "/v1/orders", {"items": items, "payment_method": "wallet"} | more, learner, key)

    def act(self):
        """One request of somebody."""
        kind = random.choices(list(ACTS), ACTS.values())[0]
        status = getattr(self, f"act_{kind}")(random.choice(self.learners), random.choice(self.courses))
        # There may be nothing yet that could be refunded, redeemed or decided.
        if status is not None:
            self.answers[kind, status] += 1

    # One each for the kinds of ACTS.

    def act_list(self, _, __):
        return self.call("GET", "/v1/courses?limit=20")[0]

    def act_course(self, _, course):
        return self.call("GET", f"/v1/courses/{course}")[0]

    def act_similar(self, _, course):
        return self.call("GET", f"/v1/courses/{course}/similar")[0]

    def act_recommend(self, learner, _):
        return self.call("GET", "/v1/me/recommendations?limit=5", caller=learner)[0]

    def act_event(self, learner, course):
        return self.call("POST", "/v1/events", {"events": [{"type": "view", "course_id": course}]}, learner)[0]

    def act_wallet(self, learner, _):
        return self.call("GET", "/v1/me/wallet", caller=learner)[0]

    def act_join(self, _, __):
        return self.join()

    def act_wrong(self, _, __):
        return self.call("POST", "/v1/sessions", {"username": "nobody", "password": PASSWORD})[0]

    def act_buy(self, learner, course):
        key = uuid.uuid4().hex
        status, order = self.order(learner, [{"course_id": course}], key)
        if status == 201:
            self.orders.append((learner, order["id"]))
            self.paid.append((learner, order["id"]))
            if random.random() < 0.2:
                self.order(learner, [{"course_id": course}], key)
        return status

    def act_pay(self, learner, course):
        return self.order(learner, [{"course_id": course}], payment_method="sandbox", payment_token=random.choice(TOKENS))[0]

    def act_refund(self, _, __):
        if not self.orders:
            return None
        learner, order = self.orders.pop()
        return self.call("POST", f"/v1/orders/{order}/refunds", {"reason": "changed_mind"}, learner)[0]

    def act_sale(self, learner, _):
        return self.order(learner, [{"course_id": self.discounted, "sale_id": self.sale}])[0]

    def act_bundle(self, learner, _):
        return self.order(learner, [{"bundle_id": self.bundle}])[0]

    def act_coupon(self, learner, course):
        return self.order(learner, [{"course_id": course}], coupon_codes=[self.coupon])[0]

    def act_gift(self, learner, course):
        status, order = self.order(learner, [{"course_id": course}], gift=True)
        if status == 201:
            self.codes.append(order["gift"]["code"])
        return status

    def act_redeem(self, learner, _):
        code = self.codes.pop(random.randrange(len(self.codes))) if self.codes else "0000-0000-0000-0000"
        return self.call("POST", "/v1/redemptions", {"code": code}, learner)[0]

    def act_guess(self, _, __):
        # Always the same one, who is refused after some.
        return self.call("POST", "/v1/redemptions", {"code": "0000-0000-0000-0000"}, self.learners[0])[0]

    def act_otherwise(self, learner, course):
        """An order whose provider says nothing for a while is paid from the wallet, or cancelled."""
        status, order = self.order(learner, [{"course_id": course}], payment_method="sandbox", payment_token="tok_slow")
        if status == 202:
            path, body = random.choice([("payments", {"payment_method": "wallet"}), ("cancel", None)])
            self.call("POST", f"/v1/orders/{order['id']}/{path}", body, learner)
        return status

    def act_large(self, _, __):
        """A refund that is too large to go without an operator; sometimes its buyer takes it back before."""
        # Whoever came last owns the least.
        learner = self.learners[-1]
        status, order = self.order(learner, [{"course_id": course} for course in random.sample(self.courses, LARGE_CART)])
        if status != 201:
            return status
        path = f"/v1/orders/{order['id']}/refunds"
        asked, refund = self.call("POST", path, {"reason": "all too much"}, learner)
        if asked == 202 and random.random() < 0.2:
            self.call("POST", f"{path}/{refund['id']}/cancel", None, learner)
        elif asked == 202:
            self.requested.append(refund["id"])
        return status

    def act_decide(self, _, __):
        if not self.requested:
            return None
        decision = random.choice(["approve", "approve", "reject"])
        path = f"/admin/v1/refunds/{self.requested.pop()}/{decision}"
        return self.call("POST", path, {"reason": "a trial of the panels"}, self.operator)[0]

    def act_invoice(self, _, __):
        if not self.paid:
            return None
        learner, order = random.choice(self.paid)
        return self.call("GET", f"/v1/orders/{order}/invoice{random.choice(['', '.html', '.pdf'])}", caller=learner)[0]


def half(courses):
    return {"amount": sum(course["price"]["amount"] for course in courses) // 2, "currency": courses[0]["price"]["currency"]}


def in_seconds(seconds):
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
    purchases = {key: count for key, count in site.answers.items() if key[0] in PURCHASES}
    failed = sum(count for (_, status), count in purchases.items() if status == 0 or status >= 500)
    print(f"{sum(purchases.values())} purchases, {failed} failed: {failed / max(1, sum(purchases.values())):.1%}")


if __name__ == "__main__":
    main()
