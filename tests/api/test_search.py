"""Searching one's messages, against the real program with its dictionary."""
import os
import sys
import time

import httpx
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Instance  # noqa: E402

SAID = ["Die Kündigungsfrist steht im Mietvertrag.", "Was kosten die Häuser in der Müllerstraße?",
        "The contracts are expiring soon.", "Zur Betriebsratssitzung: drei Punkte."]


class Person:
    def __init__(self, server, email, scopes="chat"):
        server.add_user(email, "member")
        key = server.key(email, scopes)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=120,
                                 headers={"Authorization": f"Bearer {key}"})

    def say(self, text):
        c = self.http.post("/team/v1/conversations", json={"model": "smollm2"}).json()["id"]
        m = self.http.post(f"/team/v1/conversations/{c}/messages", json={"content": text})
        assert m.status_code == 201, m.text
        self.http.post(f"/team/v1/messages/{m.json()['answer']['id']}/stop")
        return c

    def search(self, q, **more):
        for _ in range(200):
            r = self.http.get("/team/v1/search", params={"q": q, **more})
            if r.status_code != 200 or not r.json()["left"]:
                return r
            time.sleep(0.05)
        raise AssertionError("the index never caught up")

    def found(self, q, **more):
        r = self.search(q, **more)
        assert r.status_code == 200, r.text
        return ["".join(p["text"] for p in f["said"]) for f in r.json()["results"] if f["role"] == "user"]


@pytest.fixture(scope="module")
def server():
    with Instance() as i:
        yield i.ready()


@pytest.fixture(scope="module")
def anna(server):
    p = Person(server, "anna@example.org")
    p.conversations = [p.say(text) for text in SAID]
    return p


@pytest.mark.parametrize("q,which", [
    ("Frist ", 0), ("fristen ", 0), ("Verträge ", 0), ("Haus ", 1), ("Mueller ", 1), ("Strasse ", 1), ("contract ", 2),
    ("expires ", 2), ("Betriebsrat ", 3), ("Rat ", 3), ("Betr", 3), ('"drei Punkte"', 3), ("häuser kosten ", 1)])
def test_every_form_of_a_word_finds_it(anna, q, which):
    assert anna.found(q) == [SAID[which]]


@pytest.mark.parametrize("q", ["Ratte ", '"Punkte drei"', "Haus -kosten ", "First ", "Bei "])
def test_what_only_looks_alike_is_not_found(anna, q):
    assert anna.found(q) == []


def test_a_result_says_where_it_is_and_what_was_found(anna):
    r = anna.search("Frist ").json()["results"]
    f = next(x for x in r if x["role"] == "user")
    assert f["conversation"] == anna.conversations[0] and f["title"]
    assert [p["text"] for p in f["said"] if p["hit"]] == ["Kündigungsfrist"]
    assert abs(f["created_ms"] / 1000 - time.time()) < 600


def test_others_find_nothing_of_it(server, anna):
    other = Person(server, "bert@example.org")
    assert other.search("Frist ").json()["results"] == []
    owner = httpx.get(f"http://127.0.0.1:{server.port}/team/v1/search", params={"q": "Frist "},
                      headers={"Authorization": f"Bearer {server.secret}"})
    assert owner.json()["results"] == []
    stranger = httpx.get(f"http://127.0.0.1:{server.port}/team/v1/search", params={"q": "Frist "})
    assert stranger.status_code == 401


@pytest.mark.parametrize("params", [{}, {"q": ""}, {"q": "!!"}, {"q": "-nur"}, {"q": "a" * 1001}, {"q": "a", "limit": "0"},
                                    {"q": "a", "limit": "51"}, {"q": "a", "before": "x"}, {"q": "a", "from_ms": "-1"}])
def test_a_bad_question_is_refused(anna, params):
    r = anna.http.get("/team/v1/search", params=params)
    assert r.status_code == 400 and r.json()["error"]["slug"] == "invalid" and r.json()["error"]["message"]


@pytest.mark.parametrize("q", ['" OR said:miete', "said:frist", "who:0", "NEAR(a b)", "a* b*", "(", ")", "^frist", "{said}:x", "\u0000frist"])
def test_nothing_of_the_index_language_comes_through(anna, q):
    assert anna.search(q).status_code in (200, 400)


def test_what_is_deleted_is_not_found_any_more_and_the_rest_after_a_restart(server, anna):
    assert anna.found("Betriebsrat ")
    assert anna.http.delete(f"/team/v1/conversations/{anna.conversations[3]}").is_success
    assert anna.found("Betriebsrat ") == []
    server.stop()
    server.start()
    assert anna.found("Frist ") == [SAID[0]]
    assert anna.found("Betriebsrat ") == []
    assert "search" in server.must("doctor", "--json")
