package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestDoctor: a server that is well has nothing wrong, and one that is not is named with
// the setting to change and an exit code.
func TestDoctor(t *testing.T) {
	r := start(t, "--listen", "localhost:0", "--store", filepath.Join(t.TempDir(), "x.db"))
	client, uri := "demo", r.issuer+"/demo/callback"
	code, out, errs := invoke("", "doctor", r.issuer, "--client", client, "--redirect-uri", uri)
	if code != exitOK || strings.Contains(out, "WRONG") || strings.Count(out, "  ok ") < 12 || !strings.Contains(out, "sign-in page") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	code, out, _ = invoke("", "doctor", r.issuer+"/elsewhere")
	if code != exitFailed || !strings.Contains(out, "WRONG metadata") || !strings.Contains(out, "change: the path of Config.Issuer") {
		t.Errorf("%d\n%s", code, out)
	}
	mustFail(t, exitUsage, "go together", "doctor", r.issuer, "--client", "web")
	mustFail(t, exitFailed, "a client would not get along", "doctor", "http://localhost:1")
	if _, out, _ := invoke("", "doctor", "https://localhost:1"); strings.Contains(out, "WRONG certificate") {
		t.Errorf("nothing answers, and the certificate is blamed:\n%s", out)
	}
}

// TestDoctorTrustsWhatItIsTold: a certificate of one's own is looked at too, and its end.
func TestDoctorTrustsWhatItIsTold(t *testing.T) {
	folder := t.TempDir()
	cert, key, _ := certificate(t, folder)
	r := start(t, "--listen", "localhost:0", "--store", filepath.Join(folder, "x.db"), "--tls-cert", cert, "--tls-key", key)
	code, out, errs := invoke("", "doctor", r.issuer, "--ca", cert)
	if code != exitFailed || strings.Count(out, "WRONG") != 1 || !strings.Contains(out, "WRONG certificate") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	if code, out, _ = invoke("", "doctor", r.issuer); code != exitFailed || !strings.Contains(out, "certificate") {
		t.Errorf("%d\n%s", code, out)
	}
}
