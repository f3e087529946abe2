"""Writes tls.pem: the certificates of the TLS tests. `python3 tls.py > tls.pem`, with `cryptography` installed.

All names are for tests, all keys are thrown away but one: `server`, the key of every leaf. Nothing real trusts any of it.
"""
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LONG_AGO, FAR = datetime(2020, 1, 1), datetime(2120, 1, 1)
server, authority, stranger = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))


def made(name, key, signer, issuer, names=(), ca=False, start=LONG_AGO, end=FAR):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = subject if issuer is None else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
    built = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
             .serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
             .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
    if names:
        built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        built = built.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    return built.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


HOST = ["feeds.example"]
for title, pem in [
    ("authority", made("Test CA", authority, authority, None, ca=True)),
    ("good", made("good", server, authority, "Test CA", HOST)),
    ("expired", made("expired", server, authority, "Test CA", HOST, end=datetime(2021, 1, 1))),
    ("early", made("early", server, authority, "Test CA", HOST, start=datetime(2119, 1, 1))),
    ("other-host", made("other", server, authority, "Test CA", ["other.example"])),
    ("self-signed", made("feeds.example", server, server, None, HOST)),
    ("stranger", made("stranger", server, stranger, "Strange CA", HOST)),
    # Says that the authority signed it, and it did not.
    ("forged", made("forged", server, stranger, "Test CA", HOST)),
    # Signed by a leaf, which may not sign.
    ("by-a-leaf", made("by a leaf", server, server, "good", HOST)),
    ("key", server.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                 serialization.NoEncryption()).decode()),
]:
    print(f"# {title}\n{pem}", end="")
