"""An authority of the rig's own, and short-lived SPIFFE certificates as istiod would issue them."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from meshrig.envoy_parts import spiffe

DAY = datetime.timedelta(days=1)


@dataclass
class Files:
    cert: Path
    key: Path
    ca: Path


class Authority:
    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "cluster.local")])
        builder = self.builder(name, self.key.public_key(), name)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.name, self.cert = name, builder.sign(self.key, hashes.SHA256())
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def builder(subject, key, issuer):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
        return builder.serial_number(x509.random_serial_number()).not_valid_before(now - DAY).not_valid_after(now + DAY)

    def issue(self, namespace, account, names=()):
        """A certificate that names the account, and `names` of DNS where people's programs ask for them."""
        place = self.folder / f"{namespace}.{account}"
        files = Files(place.with_suffix(place.suffix + ".pem"), place.with_suffix(place.suffix + ".key"), self.ca)
        if files.cert.exists():
            return files
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.UniformResourceIdentifier(spiffe(namespace, account)), *(x509.DNSName(n) for n in names)]
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = self.builder(x509.Name([]), key.public_key(), self.name)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        cert = builder.sign(self.key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        files.key.touch(mode=0o600)
        files.key.write_bytes(private)
        files.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        return files
