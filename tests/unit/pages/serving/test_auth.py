"""A server with --auth: nobody comes in who has not signed in."""

import http.client
from urllib.parse import urlencode

import pytest

from attnpanel.pages.serving.auth import auth_options
from tests.page_socket import upgrade


def ask(port, method, path, body="", cookie="", origin=None, scheme="http"):
    connection = http.client.HTTPConnection("localhost", port, timeout=300)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    headers["X-Forwarded-Proto"] = scheme
    headers |= {"Origin": origin} if origin else {}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers


def test_only_who_signs_in_comes_in(closed):
    port = closed.port
    status, headers = ask(port, "GET", "/")
    assert (status, headers["Location"].partition("?")[0]) == (302, "./login")
    assert upgrade(port, f"localhost:{port}", f"http://localhost:{port}") == 403

    wrong = urlencode({"username": "ada", "password": "wrong"})
    _, headers = ask(port, "POST", "/login", wrong)
    assert not any("user=" in cookie for cookie in headers.get_all("Set-Cookie", []))

    right = urlencode({"username": "ada", "password": "enchantress"})
    assert ask(port, "POST", "/login", right, origin="http://evil.example")[0] == 403
    _, headers = ask(port, "POST", "/login", right)
    cookies = headers.get_all("Set-Cookie")
    (user,) = [cookie for cookie in cookies if cookie.startswith("user=")]
    assert "HttpOnly" in user
    assert all("SameSite=Lax" in cookie and "Secure" not in cookie for cookie in cookies)
    _, headers = ask(port, "POST", "/login", right, scheme="https")
    assert all("; Secure" in cookie for cookie in headers.get_all("Set-Cookie"))

    assert ask(port, "GET", "/", cookie=user.partition(";")[0])[0] == 200
    assert ask(port, "GET", "/", cookie="user=ada")[0] == 302


@pytest.mark.parametrize("target", ["///evil.example", "////evil.example/lab", "", "//", "/%2f/"])
def test_a_link_to_the_form_leads_to_no_other_site(closed, caplog, target):
    right = urlencode({"username": "ada", "password": "enchantress"})
    _, headers = ask(closed.port, "GET", f"/login?{urlencode({'next': target})}")
    cookies = headers.get_all("Set-Cookie", []) + ['next_url=""'] * (not target)
    (following,) = [each for each in cookies if each.startswith("next_url=")]

    status, headers = ask(closed.port, "POST", "/login", right, following.partition(";")[0])

    assert status == 302
    assert headers["Location"].startswith("/")
    assert not headers["Location"].startswith("//")
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ada": ""}', '{"ada": 1}', "not JSON"])
def test_a_file_that_lets_nobody_or_everybody_in_is_refused(tmp_path, text):
    users = tmp_path / "users.json"
    users.write_text(text)

    with pytest.raises(ValueError, match=r"users\.json must be a JSON object of users"):
        auth_options(str(users))


def test_an_unknown_provider_is_told_with_those_there_are():
    with pytest.raises(ValueError, match=r"one of auth0, .*github.*; got 'nobody'"):
        auth_options("nobody")


def test_a_provider_and_no_authentication():
    assert auth_options(None) == {}
    assert auth_options("github")["oauth_provider"] == "github"


def test_a_missing_file_is_told_by_its_name(tmp_path):
    with pytest.raises(OSError, match=r"gone\.json"):
        auth_options(str(tmp_path / "gone.json"))
