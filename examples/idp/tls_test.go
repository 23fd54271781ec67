package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
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

// A renewal writes two files, one after the other, and needs no restart. As certbot does
// it, the names are links.
func TestCertificateIsRenewed(t *testing.T) {
	folder, before, after := t.TempDir(), t.TempDir(), t.TempDir()
	oldCert, oldKey, first := certificate(t, before)
	newCert, newKey, second := certificate(t, after)
	cert, key := filepath.Join(folder, "fullchain.pem"), filepath.Join(folder, "privkey.pem")
	link := func(to, name string) {
		t.Helper()
		switch err := os.Symlink(to, name+".new"); {
		case err != nil && runtime.GOOS == "windows":
			t.Skip(err) // a privilege is missing
		case err != nil:
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	link(oldCert, cert)
	link(oldKey, key)
	r := start(t, "--listen", "localhost:0", "--store", filepath.Join(folder, "x.db"), "--tls-cert", cert, "--tls-key", key)
	shows := func(when string, pool *x509.CertPool) {
		t.Helper()
		conn, err := tls.Dial("tcp", strings.TrimPrefix(r.issuer, "https://"), &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		conn.Close()
	}
	warned := func(times int) {
		t.Helper()
		if said := strings.Count(r.log.String(), "can't be used"); said != times {
			t.Errorf("it is logged %d times that the certificate can't be used, want %d:\n%s", said, times, r.log)
		}
	}
	shows("at the start", first)
	link(newCert, cert)
	shows("with a certificate whose key is not there yet", first)
	shows("and again", first)
	warned(1)
	link(newKey, key)
	shows("renewed", second)
	b := newBrowser(t)
	b.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: second, MinVersion: tls.VersionTLS12}}
	b.signIn(r.issuer, r.printed("Username"), r.printed("Password")).sees("Hello, Demo User")
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	shows("without a file", second)
	shows("and again", second)
	warned(2)
}

// While one handshake reads, none of the others waits.
func TestManyHandshakesWhileTheCertificateIsRenewed(t *testing.T) {
	folder := t.TempDir()
	cert, key, _ := certificate(t, folder)
	p, err := openKeyPair(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := p.get(nil)
	p.reading.Lock() // as one does whose disk hangs
	certificate(t, folder)
	if now, err := p.get(nil); err != nil || now != before {
		t.Errorf("beside one that reads it is %p, %v; want that before, %p", now, err, before)
	}
	p.reading.Unlock()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if c, err := p.get(nil); err != nil || c == nil {
				t.Errorf("it is %v, %v", c, err)
			}
		})
	}
	all.Wait()
	if now, err := p.get(nil); err != nil || now == before {
		t.Errorf("afterwards it is that before, %v", err)
	}
}
