package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a certificate for localhost of its own making.
func certificate(t *testing.T, folder string) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key = write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret)
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}

func TestTLS(t *testing.T) {
	folder := t.TempDir()
	cert, key, pool := certificate(t, folder)
	r := start(t, "--listen", "localhost:0", "--store", filepath.Join(folder, "x.db"), "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(r.issuer, "https://localhost:") {
		t.Fatalf("the issuer is %s", r.issuer)
	}
	b := newBrowser(t)
	b.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	b.signIn(r.issuer, r.printed("Username"), r.printed("Password")).sees("Hello, Demo User")
	b.post(r.issuer + "/demo/logout").sees("the provider ended your session")

	mustFail(t, exitFailed, "tls: ", "--listen", "localhost:0", "--store", filepath.Join(folder, "y.db"), "--tls-cert", key, "--tls-key", key)
}

// A renewal writes two files, one after the other, and needs no restart.
func TestCertificateIsRenewed(t *testing.T) {
	folder, next := t.TempDir(), t.TempDir()
	cert, key, first := certificate(t, folder)
	nextCert, nextKey, second := certificate(t, next)
	r := start(t, "--listen", "localhost:0", "--store", filepath.Join(folder, "x.db"), "--tls-cert", cert, "--tls-key", key)
	address := strings.TrimPrefix(r.issuer, "https://")
	shows := func(when string, pool *x509.CertPool) {
		t.Helper()
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		conn.Close()
	}
	renew := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	shows("at the start", first)
	renew(nextCert, cert)
	shows("with a certificate whose key is not there yet", first)
	shows("and again", first)
	if said := strings.Count(r.log.String(), "can't be used"); said != 1 {
		t.Errorf("it is logged %d times that the certificate can't be used, want once", said)
	}
	renew(nextKey, key)
	shows("renewed", second)
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	shows("without a file", second)
}
