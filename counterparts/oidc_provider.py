"""Serves django-oauth-toolkit, a provider of identities with accounts, a sign-in form, PKCE and RS256, on a free port of this
machine, and prints the port. `/test/groups?user=NAME&groups=A,B` says which groups somebody is in.

usage: oidc_provider.py REDIRECT_URI CLIENT_ID CLIENT_SECRET"""

import os
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

# It is asked without TLS: it never leaves this machine.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
pem = key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    SECRET_KEY="for-tests-alone",
    ROOT_URLCONF=__name__,
    LOGIN_URL="/login",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "provider.sqlite3"}},
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    OAUTH2_PROVIDER={
        "OIDC_ENABLED": True,
        "OIDC_RSA_PRIVATE_KEY": pem,
        "PKCE_REQUIRED": True,
        "SCOPES": {"openid": "who you are", "profile": "your name", "email": "your mailbox"},
        "OAUTH2_VALIDATOR_CLASS": f"{__name__}.Validator",
        "ALLOWED_REDIRECT_URI_SCHEMES": ["http", "https"],
    },
)
django.setup()

from django.contrib.auth import authenticate, get_user_model, login  # noqa: E402
from django.contrib.auth.models import Group  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse, HttpResponseRedirect  # noqa: E402
from django.middleware.csrf import get_token  # noqa: E402
from django.urls import include, path  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402


class Validator(OAuth2Validator):
    oidc_claim_scope = None

    def get_additional_claims(self, request):
        return {
            "preferred_username": request.user.username,
            "email": request.user.email,
            "email_verified": True,
            "groups": [group.name for group in request.user.groups.all()],
        }


def sign_in(request):
    if request.method == "POST":
        user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
        if user is None:
            return HttpResponse("no", status=401)
        login(request, user)
        return HttpResponseRedirect(request.POST["next"])
    return HttpResponse(
        f'<form method="post"><input name="csrfmiddlewaretoken" value="{get_token(request)}"><input name="username">'
        f'<input name="password" type="password"></form>'
    )


def groups(request):
    user = get_user_model().objects.get(username=request.GET["user"])
    names = [name for name in request.GET["groups"].split(",") if name]
    user.groups.set([Group.objects.get_or_create(name=name)[0] for name in names])
    return HttpResponse("done")


urlpatterns = [
    path("login", sign_in),
    path("test/groups", groups),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def main():
    redirect_uri, client_id, client_secret = sys.argv[1:]
    call_command("migrate", verbosity=0)
    get_user_model().objects.create_user("grace", "grace@example.org", "example-password")
    Application.objects.create(
        name="iocast",
        client_id=client_id,
        client_secret=client_secret,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=redirect_uri,
        algorithm=Application.RS256_ALGORITHM,
        skip_authorization=True,
    )
    server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
