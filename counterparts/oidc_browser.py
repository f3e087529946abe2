"""Signs in to an exchange by way of a provider of identities as a browser would, again and again, and says what it saw.

usage: oidc_browser.py EXCHANGE_URL TOKEN PROVIDER_URL CLIENT_ID CLIENT_SECRET"""

import html
import re
import sys
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

exchange, token, provider, client_id, client_secret = sys.argv[1:]


def admin(method, path, body, expect=(200, 201)):
    headers = {"Authorization": f"Bearer {token}"}
    there = requests.get(exchange + path, headers=headers, timeout=30)
    if "etag" in there.headers:
        headers["If-Match"] = there.headers["etag"]
    answer = requests.request(method, exchange + path, json=body, headers=headers, timeout=30)
    assert answer.status_code in expect, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer


def configure(secret=client_secret, **more):
    doc = {
        "issuer": f"{provider}/o",
        "client_id": client_id,
        "client_secret": secret,
        "roles": {"soc": ["analyst"], "lead": ["approver"]},
        "contact": "the service desk",
        "allow_private": ["127.0.0.0/8"],
        **more,
    }
    admin("PUT", "/api/v1/providers/corp", doc)


def groups(*names):
    answer = requests.get(f"{provider}/test/groups", params={"user": "grace", "groups": ",".join(names)}, timeout=30)
    assert answer.status_code == 200, answer.text


def cross(browser, url):
    """A step that leads from one site to another: a browser keeps Strict cookies back."""
    kept = {cookie.name: cookie.value for cookie in browser.cookies if cookie.name != "iocast-session"}
    answer = requests.get(url, cookies=kept, allow_redirects=False, timeout=30)
    browser.cookies.update(answer.cookies)
    return answer


def sign_in(browser):
    """To the provider and back. Gives the answer to who came back, and the address they came back to."""
    page = browser.get(f"{exchange}/sign-in", timeout=30).text
    button = html.unescape(re.search(r'href="(/sign-in/at/corp[^"]*)"', page)[1])
    there = browser.get(urljoin(exchange, button), allow_redirects=False, timeout=30)
    assert there.status_code == 303, f"{there.status_code} {there.text}"
    at = there.headers["location"]
    assert at.startswith(provider), at
    answer = browser.get(at, allow_redirects=False, timeout=30)
    if answer.headers.get("location", "").startswith("/login"):
        form = urljoin(at, answer.headers["location"])
        page = browser.get(form, timeout=30).text
        csrf = re.search(r'csrfmiddlewaretoken" value="([^"]*)"', page)[1]
        fields = {
            "csrfmiddlewaretoken": csrf,
            "username": "grace",
            "password": "example-password",
            "next": parse_qs(urlsplit(form).query)["next"][0],
        }
        answer = browser.post(form, data=fields, allow_redirects=False, timeout=30)
        answer = browser.get(urljoin(at, answer.headers["location"]), allow_redirects=False, timeout=30)
    back = answer.headers["location"]
    assert back.startswith(f"{exchange}/sign-in/at/corp/back"), back
    return cross(browser, back), back


def me(browser):
    return browser.get(f"{exchange}/api/v1/me", timeout=30)


admin("PUT", "/api/v1/settings", {"public_url": exchange})
configure()

groups("soc")
browser = requests.Session()
answer, back = sign_in(browser)
assert answer.status_code == 200 and "http-equiv" in answer.text, f"{answer.status_code} {answer.text}"
said = me(browser).json()
assert said["user"]["roles"] == ["analyst"] and said["name"] == "grace", said
assert said["user"]["issuer"] == f"{provider}/o", said

# The same answer again, and the same code in a sign-in of its own.
replayed = cross(browser, back)
assert replayed.status_code == 401, replayed.status_code
other = requests.Session()
there = other.get(f"{exchange}/sign-in/at/corp", allow_redirects=False, timeout=30)
state = parse_qs(urlsplit(there.headers["location"]).query)["state"][0]
code = parse_qs(urlsplit(back).query)["code"][0]
replayed = cross(other, f"{exchange}/sign-in/at/corp/back?code={code}&state={state}")
assert replayed.status_code == 401, replayed.status_code

# Other groups at the next sign-in, then none.
groups("soc", "lead")
answer, _ = sign_in(browser)
assert me(browser).json()["user"]["roles"] == ["analyst", "approver"], me(browser).text
groups()
answer, _ = sign_in(browser)
assert answer.status_code == 403 and "Ask the service desk" in answer.text, answer.text
assert me(browser).status_code == 401, "the sessions of who has no group any more ended"

# A secret the provider does not know, then the right one; a mailbox elsewhere, then the right one.
groups("soc")
configure(secret="wrong")
answer, _ = sign_in(browser)
assert answer.status_code == 401, answer.text
configure(allowed_domain="example.com")
answer, _ = sign_in(browser)
assert answer.status_code == 403 and "example.com" in answer.text, answer.text
configure(allowed_domain="example.org")
answer, _ = sign_in(browser)
assert answer.status_code == 200, answer.text

# Out.
csrf = me(browser).json()["csrf"]
out = browser.post(f"{exchange}/sign-out", data={"csrf": csrf}, headers={"Origin": exchange}, allow_redirects=False, timeout=30)
assert out.status_code == 303, out.text
assert me(browser).status_code == 401

log = requests.get(f"{exchange}/api/v1/audit", params={"limit": 1000}, headers={"Authorization": f"Bearer {token}"}, timeout=30)
actions = [entry["action"] for entry in log.json()]
assert client_secret not in log.text and code not in log.text
print(f"signed in {actions.count('sign_in')} times, refused {actions.count('sign_in.failed')} times; groups followed, codes good once")
