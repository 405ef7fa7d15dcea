"""Pictures in the team's conversations: who looks at them, who may see them again, and where they lie."""
import base64
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from test_model import STARTER, Projector, picture  # noqa: E402
from test_pictures import png as grey  # noqa: E402
from test_server import png, upload  # noqa: E402
from tresor import Browser, Instance, wait_answer  # noqa: E402


def url(data, kind="image/png"):
    return f"data:{kind};base64," + base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with Instance() as i:
        i.start()
        i.add_user("o@example.org", "owner")
        i.add_user("m@example.org", "member")
        i.secret = i.key("o@example.org", "chat,models.read,models.change").split()[-1]
        projector = Projector().write(tmp_path_factory.mktemp("p") / "mmproj.gguf")
        i.files = {"model.gguf": upload(i, STARTER), "mmproj.gguf": upload(i, projector)}
        create(i, "blind", {"model.gguf": i.files["model.gguf"]})
        i.owner, i.member = Browser(i), Browser(i)
        i.owner.login("o@example.org")
        i.member.login("m@example.org")
        yield i


def create(i, name, files, tokens=8):
    status, r = i.api("POST", "/api/create", {"model": name, "files": files, "stream": False,
                                              "parameters": {"num_predict": tokens}}, key=i.secret)
    assert status == 200, r


def conversation(who, model="blind"):
    status, c = who.call("POST", "/team/v1/conversations", {"model": model})
    assert status == 201, c
    return c["id"]


def ask(who, where, text, *pictures, **more):
    body = {"content": text, **({"pictures": list(pictures)} if pictures else {}), **more}
    return who.call("POST", f"/team/v1/conversations/{where}/messages", body)


def answered(who, sent):
    """To its end: random pixels may make a model silent, but not fail."""
    m = wait_answer(who.call, sent["answer"]["id"])
    assert m["state"] == "done" and m["stats"]["prompt_tokens"] > 0, m
    return m


def messages(who, where):
    return who.call("GET", f"/team/v1/conversations/{where}")[1]["messages"]


def fetch(i, who, message, place=0):
    headers = {"Cookie": who.cookie} if who else {}
    return i.request("GET", f"/team/v1/messages/{message}/pictures/{place}", None, headers)


# The order matters: the first model that sees comes with the second test, the alias with a later one.

def test_while_no_model_sees_nothing_is_taken_and_it_is_said(house):
    c = conversation(house.owner)
    status, r = ask(house.owner, c, "What is it?", url(png(picture(1))))
    assert status == 400 and r["error"]["slug"] == "unsupported", r
    assert r["error"]["message"] == "no model here can see pictures" and "administrator" in r["error"]["hint"]
    assert messages(house.owner, c) == []


def test_a_blind_models_conversation_is_answered_by_one_that_sees_and_says_so(house):
    create(house, "seer", house.files)
    c = conversation(house.owner)
    status, sent = ask(house.owner, c, "What is it?", url(png(picture(1))))
    assert status == 201, sent
    assert sent["message"]["pictures"] == [{"place": 0, "type": "image/png", "width": 28, "height": 28}]
    assert sent["answer"]["instead_of"] == "blind" and sent["answer"]["model"] == "seer:latest"
    first = answered(house.owner, sent)
    assert first["instead_of"] == "blind" and first["model"] == "seer:latest", first
    # the picture is on the way to the next question, too, and is not read a second time
    status, sent = ask(house.owner, c, "And what else?")
    assert status == 201 and sent["answer"]["instead_of"] == "blind", sent
    second = answered(house.owner, sent)
    assert second["stats"]["cached_tokens"] > 4, second
    # another first question has none on its way
    status, sent = ask(house.owner, c, "Say hello.", parent="root")
    assert status == 201 and "instead_of" not in sent["answer"] and sent["answer"]["model"] == "blind:latest", sent
    answered(house.owner, sent)
    assert house.owner.call("GET", f"/team/v1/conversations/{c}")[1]["conversation"]["model"] == "blind"


def test_a_model_that_sees_answers_itself(house):
    c = conversation(house.owner, "seer")
    status, sent = ask(house.owner, c, "What is it?", url(png(picture(2))), url(png(picture(3, 40, 20))))
    assert status == 201 and "instead_of" not in sent["answer"], sent
    assert [(p["width"], p["height"]) for p in sent["message"]["pictures"]] == [(28, 28), (40, 20)]
    two = answered(house.owner, sent)["stats"]["prompt_tokens"]
    status, sent = ask(house.owner, conversation(house.owner, "seer"), "What is it?", url(png(picture(2))))
    assert status == 201 and answered(house.owner, sent)["stats"]["prompt_tokens"] == two - 4  # a picture has four rows


def test_only_its_owner_sees_a_picture_again_and_it_can_do_nothing(house):
    data = png(picture(4))
    c = conversation(house.owner, "seer")
    # what it is called is not believed
    status, sent = ask(house.owner, c, "", url(data, "text/html"))
    assert status == 201, sent
    question = sent["message"]["id"]
    status, body, headers = fetch(house, house.owner, question)
    assert status == 200 and body == data
    assert headers["Content-Type"] == "image/png" and headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "private, no-store" and "sandbox" in headers["Content-Security-Policy"]
    foreign, missing = fetch(house, house.member, question), fetch(house, house.member, "01" + "a" * 24)
    assert foreign[0] == missing[0] == 404
    assert fetch(house, None, question)[0] == 401
    assert fetch(house, house.owner, question, 1)[0] == 404
    # nor is it taken along by others
    theirs = conversation(house.member, "seer")
    status, r = ask(house.member, theirs, "Mine!", f"{question}/0")
    assert status == 404 and messages(house.member, theirs) == [], r
    answered(house.owner, sent)


@pytest.mark.parametrize("data,words", [
    (b"", "not a picture"), (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    (grey(4, 4, claim=(60000, 60000)), "claims 60000 x 60000 pixels"), (grey(8, 8)[:40], "PNG picture is damaged")])
def test_what_is_no_picture_or_claims_too_much_leaves_no_message(house, data, words):
    c = conversation(house.owner)
    status, r = ask(house.owner, c, "What is it?", url(grey(8, 8)), url(data))
    assert status == 400 and r["error"]["message"].startswith("pictures[1]: ") and words in r["error"]["message"], r
    assert messages(house.owner, c) == []


def test_limits_are_named(house):
    c = conversation(house.owner)
    status, r = ask(house.owner, c, "x", *[url(grey(2, 2))] * 17)
    assert status == 400 and "16 pictures" in r["error"]["message"], r
    big = grey(8, 8) + os.urandom(7 * 1024 * 1024)  # what follows a picture's end is not looked at, but counts
    status, r = ask(house.owner, c, "x", url(big), url(big))
    assert status == 413 and "12 MiB" in r["error"]["message"], r
    status, r = ask(house.owner, c, "x", url(big * 3))
    assert status == 413, r
    assert messages(house.owner, c) == []


def test_asked_again_it_goes_along(house):
    c = conversation(house.owner)
    status, sent = ask(house.owner, c, "What is it?", url(png(picture(5))))
    assert status == 201
    answered(house.owner, sent)
    status, again = ask(house.owner, c, "Look again.", sent["message"]["id"] + "/0", parent="root")
    assert status == 201 and len(again["message"]["pictures"]) == 1, again
    assert fetch(house, house.owner, again["message"]["id"])[1] == png(picture(5))
    answered(house.owner, again)


def test_the_alias_vision_comes_first(house):
    create(house, "second", house.files, 9)  # not the same version as the first
    create(house, "third", house.files, 10)
    house.must("alias", "set", "vision", "second")
    status, sent = ask(house.member, conversation(house.member), "What is it?", url(png(picture(6))))
    assert status == 201 and sent["answer"]["model"] == "second:latest", sent
    answered(house.member, sent)


def test_it_lies_sealed_outlives_a_restart_and_goes_with_its_conversation(house):
    noise = os.urandom(4096)
    c = conversation(house.owner, "seer")
    status, sent = ask(house.owner, c, "What is it?", url(png(picture(7)) + noise))
    assert status == 201, sent
    answered(house.owner, sent)
    house.stop()
    for folder, _, names in os.walk(house.data):
        for name in names if "/models" not in folder else ():
            with open(os.path.join(folder, name), "rb") as f:
                assert noise[:64] not in f.read(), name
    house.start()
    question = sent["message"]["id"]
    assert fetch(house, house.owner, question)[1].endswith(noise)
    assert house.owner.call("DELETE", f"/team/v1/conversations/{c}")[0] == 200
    assert fetch(house, house.owner, question)[0] == 404
